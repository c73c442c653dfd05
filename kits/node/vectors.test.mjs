// node --test kits/node: the vectors, and what a receiver does with events.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Seen, WebhookError, createReceiver, verifier } from "./noteflow-webhooks.mjs";

const read = (name) => JSON.parse(readFileSync(new URL(`../../conformance/${name}.json`, import.meta.url))).vectors;
const vectors = [...read("vectors"), ...read("samples")];
const signed = vectors.find((each) => each.name === "both signatures by one secret");
const body = Buffer.from(signed.body_base64, "base64");
const headers = { ...signed.headers, "X-NoteFlow-Event": "meeting.completed" };

function receiverOf(options) {
  return createReceiver({ secrets: signed.secrets, now: () => signed.now, log: () => {}, ...options });
}

function said(vector) {
  try {
    const options = { scheme: vector.scheme, toleranceS: vector.tolerance_s, now: () => vector.now };
    verifier(vector.secrets, options)(Buffer.from(vector.body_base64, "base64"), vector.headers);
    return "ok";
  } catch (error) {
    assert.ok(error instanceof WebhookError, error.stack);
    return error.reason;
  }
}

test("all vectors, and a sample of every event", () => {
  assert.deepEqual(vectors.map((each) => `${each.name}: ${said(each)}`), vectors.map((each) => `${each.name}: ${each.expected}`));
});

test("a body that was parsed is named", async () => {
  for (const parsed of [{ test: 1 }, "text", undefined, null])
    assert.deepEqual(await receiverOf({}).take(parsed, headers), { status: 500, body: '{"error":"body_not_raw"}' });
});

test("an event that could not be stored comes again, and while it is being stored too", async () => {
  const handled = [];
  let fails = true, go;
  const receiver = receiverOf({
    handle: (event) => handled.push(event.id),
    store: async () => {
      await new Promise((resolve) => (go = resolve));
      if (fails) throw new Error("the disk is full");
    },
  });
  const first = receiver.take(body, headers);
  await new Promise(setImmediate);
  const meanwhile = await receiver.take(body, headers);
  go();
  assert.deepEqual([(await first).status, meanwhile.status, meanwhile.body], [500, 503, '{"error":"in_progress"}']);
  fails = false;
  const again = receiver.take(body, headers);
  await new Promise(setImmediate);
  go();
  await receiver.after(await again);
  assert.deepEqual([(await again).status, handled], [204, [signed.headers["webhook-id"]]]);
});

test("an event that could not be handled is forgotten, so that a redelivery is handled", async () => {
  let times = 0;
  const receiver = receiverOf({ handle: () => { if (++times === 1) throw new Error("no"); } });
  for (let i = 0; i < 3; i++) await receiver.after(await receiver.take(body, headers));
  assert.equal(times, 2);
});

test("a receiver with a bad secret does not come to be", () => {
  assert.throws(() => receiverOf({ secrets: ["whsec_"] }), { reason: "secret_malformed" });
});

test("the oldest ids are forgotten", () => {
  const seen = new Seen(2);
  assert.deepEqual(["a", "b", "a", "c", "a"].map((id) => seen.begin(id)), ["new", "new", "pending", "new", "new"]);
});
