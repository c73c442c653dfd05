package noteflow.webhooks;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.*;
import java.security.spec.X509EncodedKeySpec;
import java.util.*;
import java.util.function.DoubleSupplier;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Verifies NoteFlow's webhooks over the raw body; Receiver deduplicates, answers, and hands the event on after the answer.
 * Copy both files: they need Java 17 alone. What is wrong with a request has a name, the same in every language;
 * docs/kits.md has the list, and what to do about each.
 *
 * <p>It knows an endpoint's secrets (whsec_… or plain) and public keys (whpk_…): one that fits is enough.
 */
public final class Verifier {
    /** Which signatures are asked for: webhook-signature, X-NoteFlow-Signature (which has no time and no id), or both. */
    public enum Scheme { STANDARD, PLAIN, BOTH }

    /** What has come, verified. The id is the same over all attempts; headers are found in whatever case. */
    public record Event(String id, String type, byte[] body, Map<String, String> headers) {}

    /** A request, or a secret, that is not taken; the reason is the name of what is wrong. */
    public static final class WebhookException extends Exception {
        private static final long serialVersionUID = 1;
        public final String reason;

        public WebhookException(String reason, String detail) {
            super(detail.isEmpty() ? reason : reason + ": " + detail);
            this.reason = reason;
        }
    }

    private record Secret(byte[] standard, byte[] plain) {}

    private static final int SIGNATURES_LIMIT = 16;
    private static final byte[] SPKI = HexFormat.of().parseHex("302a300506032b6570032100");
    /** Public keys by which everybody can sign, without their sign: the points of small order. */
    private static final Set<String> EVERYBODYS = Set.of(
            "00".repeat(32), "01" + "00".repeat(31),
            "ec" + "ff".repeat(30) + "7f", "ed" + "ff".repeat(30) + "7f", "ee" + "ff".repeat(30) + "7f",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a");

    private final List<Secret> secrets = new ArrayList<>();
    private final List<PublicKey> keys = new ArrayList<>();
    private final Scheme scheme;
    private final double toleranceS;
    private final DoubleSupplier now;

    public Verifier(List<String> secrets) throws WebhookException {
        this(secrets, Scheme.STANDARD, 300, () -> System.currentTimeMillis() / 1000.0);
    }

    /** Throws WebhookException, secret_malformed. */
    public Verifier(List<String> secrets, Scheme scheme, double toleranceS, DoubleSupplier now) throws WebhookException {
        if (secrets.isEmpty()) throw new WebhookException("secret_malformed", "there is none");
        for (String secret : secrets) add(secret);
        this.scheme = scheme;
        this.toleranceS = toleranceS;
        this.now = now;
    }

    /** Returns the event, or throws the name of what is wrong. The body is the bytes as they came. */
    public Event verify(byte[] body, Map<String, String> headers) throws WebhookException {
        Map<String, String> sent = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
        sent.putAll(headers);
        try {
            if (scheme != Scheme.PLAIN) check(isStandard(body, sent), body, sent);
            if (scheme != Scheme.STANDARD) check(isPlain(body, sent), body, sent);
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException("this Java has no HmacSHA256, or no Ed25519", error);
        }
        return new Event(sent.getOrDefault("webhook-id", ""), sent.getOrDefault("X-NoteFlow-Event", ""), body, sent);
    }

    private boolean isStandard(byte[] body, Map<String, String> sent) throws WebhookException, GeneralSecurityException {
        String id = header(sent, "webhook-id");
        String written = header(sent, "webhook-timestamp");
        String signature = header(sent, "webhook-signature");
        if (!id.matches("[A-Za-z0-9_-]{1,128}")) throw new WebhookException("malformed_header", "webhook-id");
        if (!written.matches("0|[1-9][0-9]{0,11}")) throw new WebhookException("malformed_header", "webhook-timestamp");
        double ageS = now.getAsDouble() - Long.parseLong(written);
        if (Math.abs(ageS) > toleranceS)
            throw new WebhookException(ageS > 0 ? "too_old" : "too_new", "by " + Math.round(Math.abs(ageS)) + " s");
        byte[] content = joined((id + "." + written + ".").getBytes(StandardCharsets.UTF_8), body);
        boolean found = false;
        for (String each : Arrays.stream(signature.split(" ", -1)).limit(SIGNATURES_LIMIT).toList()) {
            for (Secret key : secrets) // all are compared, even after a match, so that the time taken reveals nothing
                found |= isEqual("v1," + Base64.getEncoder().encodeToString(mac(key.standard, content)), each);
            byte[] raw = each.startsWith("v1a,") ? decoded(each.substring(4)) : new byte[0];
            for (PublicKey key : keys) found = found || (raw.length == 64 && isSigned(key, raw, content));
        }
        return found;
    }

    private boolean isPlain(byte[] body, Map<String, String> sent) throws WebhookException, GeneralSecurityException {
        String given = header(sent, "X-NoteFlow-Signature");
        boolean found = false;
        for (Secret key : secrets) found |= isEqual("sha256=" + HexFormat.of().formatHex(mac(key.plain, body)), given);
        return found;
    }

    private static void check(boolean fits, byte[] body, Map<String, String> sent) throws WebhookException {
        String length = sent.getOrDefault("Content-Length", "");
        if (!fits && length.matches("[0-9]+") && !length.replaceFirst("^0+(?=.)", "").equals("" + body.length))
            throw new WebhookException("body_not_raw", body.length + " bytes, " + length + " were sent");
        if (!fits) throw new WebhookException("no_match", "");
    }

    private static String header(Map<String, String> sent, String name) throws WebhookException {
        String value = sent.getOrDefault(name, "");
        if (value.isEmpty()) throw new WebhookException("missing_header", name);
        return value;
    }

    private static boolean isSigned(PublicKey key, byte[] signature, byte[] content) throws GeneralSecurityException {
        Signature verifier = Signature.getInstance("Ed25519");
        try {
            verifier.initVerify(key);
            verifier.update(content);
            return verifier.verify(signature);
        } catch (InvalidKeyException | SignatureException error) {
            return false; // no point of the curve, or a form that no signature has
        }
    }

    private void add(String secret) throws WebhookException {
        byte[] raw = decoded(secret.substring(secret.indexOf('_') + 1));
        byte[] text = secret.getBytes(StandardCharsets.UTF_8);
        try {
            if (secret.startsWith("whsec_") && raw.length >= 24 && raw.length <= 64)
                secrets.add(new Secret(raw, text));
            else if (secret.startsWith("whpk_") && raw.length == 32 && !EVERYBODYS.contains(unsigned(raw)))
                keys.add(KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(joined(SPKI, raw))));
            else if (secret.matches("(?!whsec_|whpk_|whsk_)[!-~]{8,256}"))
                secrets.add(new Secret(text, text));
            else throw new GeneralSecurityException();
        } catch (GeneralSecurityException error) {
            throw new WebhookException("secret_malformed", "whsec_…, 8 to 256 visible characters, or whpk_… (a public key)");
        }
    }

    private static String unsigned(byte[] raw) {
        byte[] copy = raw.clone();
        copy[31] &= 127;
        return HexFormat.of().formatHex(copy);
    }

    private static byte[] mac(byte[] key, byte[] content) throws GeneralSecurityException {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(content);
    }

    private static boolean isEqual(String expected, String given) {
        return MessageDigest.isEqual(expected.getBytes(StandardCharsets.UTF_8), given.getBytes(StandardCharsets.UTF_8));
    }

    private static byte[] joined(byte[] first, byte[] second) {
        return ByteBuffer.allocate(first.length + second.length).put(first).put(second).array();
    }

    /** The bytes of strict base64; none where it is not. */
    private static byte[] decoded(String text) {
        try {
            byte[] raw = Base64.getDecoder().decode(text);
            return Base64.getEncoder().encodeToString(raw).equals(text) ? raw : new byte[0];
        } catch (IllegalArgumentException error) {
            return new byte[0];
        }
    }
}
