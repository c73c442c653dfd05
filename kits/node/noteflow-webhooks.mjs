// Receives NoteFlow's webhooks: verifies the raw body, deduplicates, answers, and hands the event on after the answer.
// Copy this file: it needs Node's own modules alone. What is wrong with a request has a name, the same in every language;
// docs/kits.md has the list, and what to do about each.

import { createHmac, createPublicKey, timingSafeEqual, verify as verifyKey } from "node:crypto";
import { finished } from "node:stream";

// What each name is answered with. 401: the sender's fault. 5xx: our own, and the event is sent again.
const STATUS = {
  missing_header: 401, malformed_header: 401, too_old: 401, too_new: 401, no_match: 401,
  not_post: 405, body_too_large: 413, body_not_raw: 500, store_failed: 500, in_progress: 503,
};
const SIGNATURES_LIMIT = 16;
const SPKI = Buffer.from("302a300506032b6570032100", "hex");
// Public keys by which everybody can sign, without their sign: the points of small order.
const EVERYBODYS = new Set([
  "00".repeat(32), "01" + "00".repeat(31), ...["ec", "ed", "ee"].map((first) => first + "ff".repeat(30) + "7f"),
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
]);

/** A request, or a secret, that is not taken; `reason` is the name of what is wrong. */
export class WebhookError extends Error {
  constructor(reason, detail = "") {
    super(detail ? `${reason}: ${detail}` : reason);
    this.reason = reason;
  }
}

/**
 * Make what checks requests by an endpoint's secrets (`whsec_…` or plain) and public keys (`whpk_…`): one that fits is enough.
 * `scheme` says which signatures are asked for: `standard` (webhook-signature), `plain` (X-NoteFlow-Signature, which has no
 * time and no id), or `both`. It throws WebhookError at once for a secret that is malformed. What it returns takes the body's
 * bytes as they came and the headers, and returns `{id, type, body, headers}` or throws WebhookError.
 */
export function verifier(secrets, { scheme = "standard", toleranceS = 300, now = () => Date.now() / 1000 } = {}) {
  const keys = secrets.map(keyOf);
  if (!keys.length) throw new WebhookError("secret_malformed", "there is none");
  if (!["standard", "plain", "both"].includes(scheme)) throw new TypeError(`no scheme ${scheme}`);
  const shared = keys.filter((key) => key.plain), pairs = keys.filter((key) => key.public);

  function isStandard(body, sent) {
    const [id, written, signature] = ["id", "timestamp", "signature"].map((name) => header(sent, `webhook-${name}`));
    if (!/^[A-Za-z0-9_-]{1,128}$/.test(id)) throw new WebhookError("malformed_header", "webhook-id");
    if (!/^(0|[1-9][0-9]{0,11})$/.test(written)) throw new WebhookError("malformed_header", "webhook-timestamp");
    const ageS = now() - Number(written);
    if (Math.abs(ageS) > toleranceS) throw new WebhookError(ageS > 0 ? "too_old" : "too_new", `by ${Math.round(Math.abs(ageS))} s`);
    const content = Buffer.concat([Buffer.from(`${id}.${written}.`), body]);
    const given = signature.split(" ").slice(0, SIGNATURES_LIMIT);
    const macs = shared.map((key) => "v1," + createHmac("sha256", key.standard).update(content).digest("base64"));
    // All are compared, even after a match, so that the time taken reveals nothing.
    const found = macs.flatMap((mac) => given.filter((each) => isEqual(mac, each))).length;
    const signed = given.filter((each) => each.startsWith("v1a,")).map((each) => decoded(each.slice(4)));
    return found > 0 || pairs.some((key) => signed.some((each) => each.length === 64 && verifyKey(null, content, key.public, each)));
  }

  function isPlain(body, sent) {
    const given = header(sent, "x-noteflow-signature");
    return shared.filter((key) => isEqual("sha256=" + createHmac("sha256", key.plain).update(body).digest("hex"), given)).length > 0;
  }

  function check(fits, body, sent) {
    const length = sent["content-length"] ?? "";
    if (!fits && /^[0-9]+$/.test(length) && Number(length) !== body.length)
      throw new WebhookError("body_not_raw", `${body.length} bytes, ${length} were sent`);
    if (!fits) throw new WebhookError("no_match");
  }

  return (body, headers) => {
    if (!(body instanceof Uint8Array)) throw new WebhookError("body_not_raw", `it is a ${typeof body}`);
    const sent = Object.fromEntries(
      [...(headers.entries?.() ?? Object.entries(headers))].map(([name, value]) => [name.toLowerCase(), String(value)]));
    if (scheme !== "plain") check(isStandard(body, sent), body, sent);
    if (scheme !== "standard") check(isPlain(body, sent), body, sent);
    return { id: sent["webhook-id"] ?? "", type: sent["x-noteflow-event"] ?? "", body: Buffer.from(body), headers: sent };
  };
}

function header(sent, name) {
  if (!sent[name]) throw new WebhookError("missing_header", name);
  return sent[name];
}

function isEqual(expected, given) {
  const [first, second] = [Buffer.from(expected), Buffer.from(given)];
  return first.length === second.length && timingSafeEqual(first, second);
}

function keyOf(secret) {
  const prefix = secret.match(/^(whsec_|whpk_|whsk_|)/)[0], raw = decoded(secret.slice(prefix.length));
  if (prefix === "whsec_" && raw.length >= 24 && raw.length <= 64) return { standard: raw, plain: secret };
  if (prefix === "" && /^[!-~]{8,256}$/.test(secret)) return { standard: secret, plain: secret };
  const unsigned = Buffer.from(raw);
  if (raw.length === 32) unsigned[31] &= 127;
  if (prefix === "whpk_" && raw.length === 32 && !EVERYBODYS.has(unsigned.toString("hex")))
    return { public: createPublicKey({ key: Buffer.concat([SPKI, raw]), format: "der", type: "spki" }) };
  throw new WebhookError("secret_malformed", "whsec_…, 8 to 256 visible characters, or whpk_… (a public key)");
}

// The bytes of strict base64; none where it is not.
function decoded(text) {
  const raw = Buffer.from(text, "base64");
  return raw.toString("base64") === text ? raw : Buffer.alloc(0);
}

/** Remembers the last ids, in this process. Several processes need one of your own (a table, Redis); it may be async. */
export class Seen {
  #states = new Map();
  constructor(most = 100_000) { this.most = most; }
  /** Return "new", and remember it as pending, in one step; else "pending" or "done". */
  begin(id) {
    const known = this.#states.get(id);
    if (!known) this.#states.set(id, "pending");
    if (this.#states.size > this.most) this.#states.delete(this.#states.keys().next().value);
    return known ?? "new";
  }
  done(id) { this.#states.set(id, "done"); }
  forget(id) { this.#states.delete(id); }
}

/**
 * An endpoint. `handle` is called with each event after the answer, so it may take its time. `store` is called before it and
 * has to be quick: what must outlive this process goes into a table or a queue there; where it throws, the answer is 500 and
 * the event comes again. Events come at least once; of those whose id `seen` knows, neither is called. What else is given
 * goes to `verifier`. `fetch`, `node` (which is Express's, too) and `fastify` fit it to what calls it.
 */
export function createReceiver({ secrets, handle, store, seen = new Seen(), mostBytes = 1_048_576, log = console.error, ...options }) {
  const verify = verifier(secrets, options);
  const refused = (reason) => ({ status: STATUS[reason], body: JSON.stringify({ error: reason }) });

  function refusal(method, length) {
    if (method !== "POST") return refused("not_post");
    return Number(length ?? 0) > mostBytes ? refused("body_too_large") : undefined;
  }

  async function take(body, headers) {
    let event;
    if (body?.length > mostBytes) return refused("body_too_large");
    try {
      event = verify(body, headers);
    } catch (error) {
      if (!(error instanceof WebhookError)) throw error;
      log("a webhook is refused:", error.message);
      return refused(error.reason);
    }
    if (event.type === "webhook.verification") {
      const payload = JSON.parse(event.body);
      return { status: 200, body: JSON.stringify({ challenge: payload.challenge ?? payload.data?.challenge }) };
    }
    // Only with the scheme `plain` may there be no id.
    const state = event.id ? await seen.begin(event.id) : "new";
    if (state !== "new") return state === "pending" ? refused("in_progress") : { status: 204, body: "" };
    try {
      await store?.(event);
    } catch (error) {
      log(`event ${event.id} could not be stored, and is sent again:`, error);
      await seen.forget(event.id);
      return refused("store_failed");
    }
    await seen.done(event.id);
    return { status: 204, body: "", event };
  }

  // An event that fails here is forgotten: a redelivery is handled again.
  async function after({ event }) {
    try {
      if (event) await handle?.(event);
    } catch (error) {
      log(`event ${event.id} was answered, and could not be handled:`, error);
      await seen.forget(event.id);
    }
  }

  /** Take a Request and return a Response; `context` is the platform's, where it ends a worker once that has answered. */
  async function fetch(request, context) {
    const answer = refusal(request.method, request.headers.get("content-length")) ??
      (await take(new Uint8Array(await request.arrayBuffer()), request.headers));
    const later = new Promise((resolve) => setTimeout(resolve)).then(() => after(answer));
    context?.waitUntil?.(later);
    return new Response(answer.body || null, { status: answer.status, headers: headersOf(answer) });
  }

  /** Answer a request of node:http, or of Express, where no parser of bodies may stand before it but `express.raw`. */
  async function node(request, response) {
    try {
      const answer = refusal(request.method, request.headers["content-length"]) ??
        (await take(request.body ?? (await read(request)), request.headers));
      // Also where the sender has gone: it sends again, and is told that the event is there.
      finished(response, () => after(answer));
      response.writeHead(answer.status, headersOf(answer)).end(answer.body);
    } catch (error) {
      log("a webhook could not be read, or its id not looked up:", error);
      if (!response.headersSent) response.writeHead(500).end();
    }
  }

  async function read(request) {
    const pieces = [];
    let length = 0;
    for await (const piece of request) {
      pieces.push(piece);
      if ((length += piece.length) > mostBytes) break;
    }
    return Buffer.concat(pieces);
  }

  /** A plugin: `app.register(receiver.fastify, { path: "/hooks" })`. Parsers of bodies outside of it stay as they are. */
  async function fastify(app, { path }) {
    app.removeAllContentTypeParsers();
    app.addContentTypeParser("*", { parseAs: "buffer", bodyLimit: mostBytes }, (request, body, done) => done(null, body));
    app.post(path, async (request, reply) => {
      const answer = await take(request.body ?? Buffer.alloc(0), request.headers);
      finished(reply.raw, () => after(answer));
      return reply.code(answer.status).headers(headersOf(answer)).send(answer.body || undefined);
    });
  }

  return { take, after, fetch, node, fastify };
}

function headersOf({ status, body }) {
  const retry = status === 503 ? { "Retry-After": "5" } : {};
  return body ? { ...retry, "Content-Type": "application/json", "Content-Length": String(Buffer.byteLength(body)) } : retry;
}
