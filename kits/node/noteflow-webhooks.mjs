// Receives NoteFlow's webhooks: verifies the raw body, deduplicates, answers, and hands the event on after the answer.
// Copy this file and noteflow-verifier.mjs: they need Node's own modules alone.

import { finished } from "node:stream";
import { WebhookError, verifier } from "./noteflow-verifier.mjs";

export { WebhookError, verifier };

// What each name is answered with. 401: the sender's fault. 5xx: our own, and the event is sent again.
const STATUS = {
  missing_header: 401, malformed_header: 401, too_old: 401, too_new: 401, no_match: 401,
  not_post: 405, body_too_large: 413, body_not_raw: 500, store_failed: 500, in_progress: 503,
};

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
    app.addContentTypeParser("*", (request, payload, done) => done(null));
    app.post(path, (request, reply) => node(request.raw, reply.hijack().raw));
  }

  return { take, after, fetch, node, fastify };
}

function headersOf({ status, body }) {
  const retry = status === 503 ? { "Retry-After": "5" } : {};
  return body ? { ...retry, "Content-Type": "application/json", "Content-Length": String(Buffer.byteLength(body)) } : retry;
}
