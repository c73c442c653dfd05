// Verifies NoteFlow's webhooks over the raw body; noteflow-webhooks.mjs beside it deduplicates, answers, and hands events on.
// It needs Node's own modules alone. What is wrong with a request has a name, the same in every language; docs/kits.md has the
// list, and what to do about each.

import { createHmac, createPublicKey, timingSafeEqual, verify as verifyKey } from "node:crypto";

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
