<?php

// php kits/php/vectors.php: checks the kit against the vectors and samples of conformance/, and measures it.

declare(strict_types=1);

require __DIR__ . '/noteflow_webhooks.php';

use NoteflowWebhooks\{Receiver, Seen, Verifier, WebhookError};

$read = fn ($name) => json_decode(file_get_contents(__DIR__ . "/../../conformance/$name.json"), true, 512, JSON_THROW_ON_ERROR)['vectors'];
$vectors = [...$read('vectors'), ...$read('samples')];

function verifier(array $vector): Verifier
{
    return new Verifier($vector['secrets'], $vector['scheme'], $vector['tolerance_s'], $vector['now']);
}

$failed = 0;
foreach ($vectors as $vector) {
    try {
        verifier($vector)->verify(base64_decode($vector['body_base64']), $vector['headers']);
        $found = 'ok';
    } catch (WebhookError $error) {
        $found = $error->reason;
    }
    if ($found !== $vector['expected']) {
        $failed++;
        echo "{$vector['name']}: $found, expected {$vector['expected']}\n";
    }
}
printf("%d vectors passed, %d failed\n", count($vectors) - $failed, $failed);

foreach (['the published vector of Standard Webhooks', 'a public key'] as $name) {
    $vector = current(array_filter($vectors, fn ($each) => $each['name'] === $name));
    [$verifier, $body, $started] = [verifier($vector), base64_decode($vector['body_base64']), getrusage()];
    for ($i = 0; $i < 2000; $i++) {
        $verifier->verify($body, $vector['headers']);
    }
    $ended = getrusage();
    $us = ($ended['ru_utime.tv_sec'] - $started['ru_utime.tv_sec']) * 1e6 + $ended['ru_utime.tv_usec'] - $started['ru_utime.tv_usec'];
    printf("%.1f µs: %s\n", $us / 2000, $name);
}

// What could not be stored, or handled, comes again; what is being stored is to come again; all else is known.
ini_set('error_log', '/dev/null');
$signed = current(array_filter($vectors, fn ($each) => $each['name'] === 'both signatures by one secret'));
[$stored, $handled, $meanwhile, $receiver] = [0, 0, null, null];
$send = function () use ($signed, &$receiver): int {
    [$status, , $event] = $receiver->take('POST', base64_decode($signed['body_base64']), $signed['headers']);
    if ($event !== null) {
        $receiver->after($event);
    }
    return $status;
};
$store = function () use (&$stored, &$meanwhile, $send): void {
    $meanwhile ??= $send();
    if (++$stored === 1) {
        throw new RuntimeException('the disk is full');
    }
};
$handle = function () use (&$handled): void {
    if (++$handled === 1) {
        throw new RuntimeException('no');
    }
};
$folder = sys_get_temp_dir() . '/noteflow-webhooks-' . bin2hex(random_bytes(8));
$receiver = new Receiver(verifier($signed), new Seen($folder), $handle, $store);
$found = [$send(), $send(), $send(), $send(), $meanwhile, $stored, $handled];
array_map('unlink', glob("$folder/*"));
rmdir($folder);
$isRight = $found === [500, 204, 204, 204, 503, 3, 2];
echo $isRight ? '' : 'events: ' . json_encode($found) . "\n";
exit($failed || !$isRight ? 1 : 0);
