import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import noteflow.webhooks.Verifier;

/** Checks the kit against the vectors, and measures it. Java has no JSON: it reads the lines that `make kits` makes of them. */
public final class Vectors {
    private record Vector(String name, String expected, Verifier.Scheme scheme, long now, double toleranceS, byte[] body,
            List<String> secrets, Map<String, String> headers) {
        Verifier verifier() throws Verifier.WebhookException {
            return new Verifier(secrets, scheme, toleranceS, () -> now);
        }
    }

    public static void main(String[] arguments) throws Exception {
        List<Vector> vectors = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of(arguments[0]))) vectors.add(read(line));
        long failed = vectors.stream().filter(each -> !said(each).equals(each.expected)).peek(each ->
                System.out.println(each.name + ": " + said(each) + ", expected " + each.expected)).count();
        System.out.println((vectors.size() - failed) + " vectors passed, " + failed + " failed");
        for (Vector each : vectors)
            if (List.of("the published vector of Standard Webhooks", "a public key").contains(each.name)) measure(each);
        System.exit(failed > 0 ? 1 : 0);
    }

    private static String said(Vector vector) {
        try {
            vector.verifier().verify(vector.body, vector.headers);
            return "ok";
        } catch (Verifier.WebhookException error) {
            return error.reason;
        }
    }

    private static void measure(Vector vector) throws Exception {
        Verifier verifier = vector.verifier();
        for (int round = 0; round < 2; round++) { // the first one is for the compiler
            long started = System.nanoTime();
            for (int i = 0; i < 5000; i++) verifier.verify(vector.body, vector.headers);
            double us = (System.nanoTime() - started) / 5000 / 1000.0;
            if (round == 1) System.out.printf("%.1f µs: %s%n", us, vector.name);
        }
    }

    /** Fields are base64 between commas: six, then the number of secrets, the secrets, and names and values of headers. */
    private static Vector read(String line) {
        List<String> fields = new ArrayList<>();
        for (String each : line.split(",", -1)) fields.add(new String(Base64.getDecoder().decode(each), StandardCharsets.UTF_8));
        int secrets = 7 + Integer.parseInt(fields.get(6));
        Map<String, String> headers = new HashMap<>();
        for (int i = secrets; i + 1 < fields.size(); i += 2) headers.put(fields.get(i), fields.get(i + 1));
        return new Vector(fields.get(0), fields.get(1), Verifier.Scheme.valueOf(fields.get(2).toUpperCase()),
                Long.parseLong(fields.get(3)), Double.parseDouble(fields.get(4)), Base64.getDecoder().decode(fields.get(5)),
                fields.subList(7, secrets), headers);
    }
}
