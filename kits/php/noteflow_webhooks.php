<?php

// Receives NoteFlow's webhooks: verifies the raw body, deduplicates, answers, and hands the event on after the answer.
// Copy this file: it needs PHP 8.1 and its own extensions alone (sodium for public keys). What is wrong with a request has
// a name, the same in every language; docs/kits.md has the list, and what to do about each.

declare(strict_types=1);

namespace NoteflowWebhooks;

// What each name is answered with. 401: the sender's fault. 5xx: our own, and the event is sent again.
const STATUS = [
    'missing_header' => 401, 'malformed_header' => 401, 'too_old' => 401, 'too_new' => 401, 'no_match' => 401,
    'not_post' => 405, 'body_too_large' => 413, 'body_not_raw' => 500, 'store_failed' => 500, 'in_progress' => 503,
];
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
    /** @param array<string, string> $headers */
    public function __construct(
        public readonly string $id,
        public readonly string $type,
        public readonly string $body,
        public readonly array $headers,
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
    /** @var list<array{string, string}> */
    private array $secrets = [];
    /** @var list<string> */
    private array $public = [];

    /** @param list<string> $secrets */
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

    /**
     * Returns the event; throws WebhookError with the name of what is wrong. $body is the bytes as they came.
     *
     * @param array<string, string> $headers
     */
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
        [$id, $written, $signature] = array_map(
            fn ($name) => self::header($sent, "webhook-$name"),
            ['id', 'timestamp', 'signature'],
        );
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

/** Remembers ids as files of a folder, since PHP's processes share no memory. One of your own may be a table, or Redis. */
class Seen
{
    public function __construct(private readonly string $folder, private readonly int $keepS = 7 * 86400)
    {
        is_dir($folder) || mkdir($folder, 0700, true);
    }

    /** Returns "new", and remembers it as pending, in one step; else "pending" or "done". */
    public function begin(string $id): string
    {
        if (random_int(0, 999) === 0) {
            $old = fn ($path) => filemtime($path) < time() - $this->keepS;
            array_map('unlink', array_filter(glob("$this->folder/*") ?: [], $old));
        }
        if ($file = @fopen("$this->folder/$id", 'x')) {
            fclose($file);
            return 'new';
        }
        clearstatcache();
        // One that was begun a minute ago has died before it was stored.
        $isDead = @filesize("$this->folder/$id") === 0 && filemtime("$this->folder/$id") < time() - 60;
        return $isDead && touch("$this->folder/$id") ? 'new' : (@filesize("$this->folder/$id") ? 'done' : 'pending');
    }

    public function done(string $id): void
    {
        file_put_contents("$this->folder/$id", 'done');
    }

    public function forget(string $id): void
    {
        @unlink("$this->folder/$id");
    }
}

/**
 * An endpoint. $handle is called with each event after the answer, so it may take its time; where it throws, the event is
 * forgotten, so that a redelivery is handled again. $store is called before the answer and has to be quick: what must not
 * be lost goes into a table or a queue there; where it throws, the answer is 500 and the event comes again. Events come at
 * least once; of those whose id $seen knows, neither is called.
 */
final class Receiver
{
    public function __construct(
        private readonly Verifier $verifier,
        private readonly Seen $seen,
        private readonly ?\Closure $handle = null,
        private readonly ?\Closure $store = null,
        private readonly int $mostBytes = 1_048_576,
    ) {
    }

    /** Answers the request that PHP was called for, and hands its event on. */
    public function run(): void
    {
        $headers = ['content-length' => $_SERVER['CONTENT_LENGTH'] ?? ''];
        foreach ($_SERVER as $name => $value) {
            if (str_starts_with($name, 'HTTP_')) {
                $headers[strtolower(strtr(substr($name, 5), '_', '-'))] = $value;
            }
        }
        $body = file_get_contents('php://input', false, null, 0, $this->mostBytes + 1);
        [$status, $answer, $event] = $this->take($_SERVER['REQUEST_METHOD'], $body, $headers);
        ignore_user_abort(true);
        http_response_code($status);
        if ($status === 503) {
            header('Retry-After: 5');
        }
        if ($answer !== '') {
            header('Content-Type: application/json');
        }
        header('Content-Length: ' . strlen($answer));
        echo $answer;
        if ($event !== null) {
            // Under FPM the answer is sent here; elsewhere it is once a web server in front has its length.
            function_exists('fastcgi_finish_request') ? fastcgi_finish_request() : flush();
            $this->after($event);
        }
    }

    /**
     * Returns status, body, and the event to hand to after() once that is sent; for frameworks that send it themselves.
     *
     * @return array{int, string, ?Event}
     */
    public function take(string $method, mixed $body, array $headers): array
    {
        if ($method !== 'POST' || (is_string($body) && strlen($body) > $this->mostBytes)) {
            return self::refused($method !== 'POST' ? 'not_post' : 'body_too_large');
        }
        try {
            $event = $this->verifier->verify($body, $headers);
        } catch (WebhookError $error) {
            error_log("a webhook is refused: {$error->getMessage()}");
            return self::refused($error->reason);
        }
        if ($event->type === 'webhook.verification') {
            $payload = $event->json();
            return [200, json_encode(['challenge' => $payload['challenge'] ?? $payload['data']['challenge'] ?? null]), null];
        }
        $state = $event->id === '' ? 'new' : $this->seen->begin($event->id); // only with the scheme "plain" may there be none
        if ($state !== 'new') {
            return $state === 'pending' ? self::refused('in_progress') : [204, '', null];
        }
        return $this->stored($event) ? [204, '', $event] : self::refused('store_failed');
    }

    public function after(Event $event): void
    {
        try {
            $this->handle && ($this->handle)($event);
        } catch (\Throwable $error) {
            error_log("event $event->id was answered, and could not be handled: {$error->getMessage()}");
            $event->id === '' || $this->seen->forget($event->id);
        }
    }

    private function stored(Event $event): bool
    {
        try {
            $this->store && ($this->store)($event);
            $event->id === '' || $this->seen->done($event->id);
        } catch (\Throwable $error) {
            error_log("event $event->id could not be stored, and is sent again: {$error->getMessage()}");
            $event->id === '' || $this->seen->forget($event->id);
            return false;
        }
        return true;
    }

    /** @return array{int, string, null} */
    private static function refused(string $reason): array
    {
        return [STATUS[$reason], json_encode(['error' => $reason]), null];
    }
}
