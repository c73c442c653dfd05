<?php

// Verifies NoteFlow's webhooks over the raw body; noteflow_webhooks.php beside it deduplicates, answers, and hands events on.
// It needs PHP 8.1 and its own extensions alone (sodium for public keys). What is wrong with a request has a name, the same in
// every language; docs/kits.md has the list, and what to do about each.

declare(strict_types=1);

namespace NoteflowWebhooks;

const SIGNATURES_LIMIT = 16;
// Public keys by which everybody can sign, without their sign: the points of small order, as far as sodium lets them pass.
const EVERYBODYS = [
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000000',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
];

/** A request, or a secret, that is not taken; $reason is the name of what is wrong. */
final class WebhookError extends \Exception
{
    public function __construct(public readonly string $reason, string $detail = '')
    {
        parent::__construct($detail === '' ? $reason : "$reason: $detail");
    }
}

/** What has come, verified. $id is the same over all attempts; $headers have names in small letters. */
final class Event
{
    public function __construct(
        public readonly string $id, public readonly string $type, public readonly string $body, public readonly array $headers,
    ) {
    }

    public function json(): mixed
    {
        return json_decode($this->body, true, 512, JSON_THROW_ON_ERROR);
    }
}

/**
 * Knows an endpoint's secrets (whsec_… or plain) and public keys (whpk_…): one that fits is enough. $scheme says which
 * signatures are asked for: "standard" (webhook-signature), "plain" (X-NoteFlow-Signature, which has no time and no id),
 * or "both". Throws WebhookError, secret_malformed.
 */
final class Verifier
{
    private array $secrets = []; // each with the key of both schemes
    private array $public = [];

    public function __construct(
        array $secrets,
        private readonly string $scheme = 'standard',
        private readonly float $toleranceS = 300,
        private readonly ?float $now = null,
    ) {
        array_map($this->add(...), $secrets);
        if (!$secrets || !in_array($scheme, ['standard', 'plain', 'both'], true)) {
            throw $secrets ? new \ValueError("no scheme $scheme") : new WebhookError('secret_malformed', 'there is none');
        }
    }

    /** Returns the event; throws WebhookError with the name of what is wrong. $body is the bytes as they came. */
    public function verify(mixed $body, array $headers): Event
    {
        if (!is_string($body)) {
            throw new WebhookError('body_not_raw', 'it is a ' . get_debug_type($body));
        }
        $sent = array_change_key_case($headers);
        if ($this->scheme !== 'plain') {
            $this->check($this->isStandard($body, $sent), $body, $sent);
        }
        if ($this->scheme !== 'standard') {
            $this->check($this->isPlain($body, $sent), $body, $sent);
        }
        return new Event($sent['webhook-id'] ?? '', $sent['x-noteflow-event'] ?? '', $body, $sent);
    }

    private function isStandard(string $body, array $sent): bool
    {
        [$id, $written, $signature] = array_map(fn ($name) => self::header($sent, "webhook-$name"), ['id', 'timestamp', 'signature']);
        if (!preg_match('/^[A-Za-z0-9_-]{1,128}$/D', $id)) {
            throw new WebhookError('malformed_header', 'webhook-id');
        }
        if (!preg_match('/^(0|[1-9][0-9]{0,11})$/D', $written)) {
            throw new WebhookError('malformed_header', 'webhook-timestamp');
        }
        $ageS = ($this->now ?? microtime(true)) - (int) $written;
        if (abs($ageS) > $this->toleranceS) {
            throw new WebhookError($ageS > 0 ? 'too_old' : 'too_new', sprintf('by %d s', abs($ageS)));
        }
        $found = false;
        foreach (array_slice(explode(' ', $signature), 0, SIGNATURES_LIMIT) as $each) {
            foreach ($this->secrets as [$key]) { // all are compared, even after a match
                $mac = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$written.$body", $key, true));
                $found = hash_equals($mac, $each) || $found;
            }
            $raw = str_starts_with($each, 'v1a,') ? self::decoded(substr($each, 4)) : '';
            foreach (strlen($raw) === 64 ? $this->public : [] as $key) {
                $found = $found || sodium_crypto_sign_verify_detached($raw, "$id.$written.$body", $key);
            }
        }
        return $found;
    }

    private function isPlain(string $body, array $sent): bool
    {
        $given = self::header($sent, 'x-noteflow-signature');
        $found = false;
        foreach ($this->secrets as [, $key]) {
            $found = hash_equals('sha256=' . hash_hmac('sha256', $body, $key), $given) || $found;
        }
        return $found;
    }

    private function check(bool $fits, string $body, array $sent): void
    {
        $length = (string) ($sent['content-length'] ?? '');
        if (!$fits && ctype_digit($length) && (int) $length !== strlen($body)) {
            throw new WebhookError('body_not_raw', strlen($body) . " bytes, $length were sent");
        }
        if (!$fits) {
            throw new WebhookError('no_match');
        }
    }

    private static function header(array $sent, string $name): string
    {
        return ($sent[$name] ?? '') !== '' ? $sent[$name] : throw new WebhookError('missing_header', $name);
    }

    private function add(string $secret): void
    {
        $raw = self::decoded(substr($secret, str_starts_with($secret, 'whsec_') ? 6 : 5));
        $unsigned = strlen($raw) === 32 ? bin2hex(substr($raw, 0, 31) . chr(ord($raw[31]) & 127)) : EVERYBODYS[0];
        if (str_starts_with($secret, 'whsec_') && strlen($raw) >= 24 && strlen($raw) <= 64) {
            $this->secrets[] = [$raw, $secret];
        } elseif (str_starts_with($secret, 'whpk_') && !in_array($unsigned, EVERYBODYS, true)) {
            $this->public[] = $raw;
        } elseif (preg_match('/^(?!whsec_|whpk_|whsk_)[!-~]{8,256}$/D', $secret)) {
            $this->secrets[] = [$secret, $secret];
        } else {
            throw new WebhookError('secret_malformed', 'whsec_…, 8 to 256 visible characters, or whpk_… (a public key)');
        }
    }

    /** The bytes of strict base64; none where it is not. */
    private static function decoded(string $text): string
    {
        $raw = base64_decode($text, true);
        return $raw !== false && base64_encode($raw) === $text ? $raw : '';
    }
}
