<?php

// Receives NoteFlow's webhooks: verifies the raw body, deduplicates, answers, and hands the event on after the answer.
// Copy this file and noteflow_verifier.php: they need PHP 8.1 and its own extensions alone.

declare(strict_types=1);

namespace NoteflowWebhooks;

require_once __DIR__ . '/noteflow_verifier.php';

// What each name is answered with. 401: the sender's fault. 5xx: our own, and the event is sent again.
const STATUS = [
    'missing_header' => 401, 'malformed_header' => 401, 'too_old' => 401, 'too_new' => 401, 'no_match' => 401,
    'not_post' => 405, 'body_too_large' => 413, 'body_not_raw' => 500, 'store_failed' => 500, 'in_progress' => 503,
];

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

    /** Returns status, body, and the event to hand to after() once that is sent; for frameworks that send it themselves. */
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

    private static function refused(string $reason): array
    {
        return [STATUS[$reason], json_encode(['error' => $reason]), null];
    }
}
