import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.logging.Level;
import java.util.logging.Logger;
import noteflow.webhooks.Receiver;
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
        Vector signed = vectors.stream().filter(each -> each.name.equals("both signatures by one secret")).findAny().get();
        System.exit(failed > 0 || !comesAgain(signed) ? 1 : 0);
    }

    /** What could not be stored, or handled, comes again; what is being stored is to come again; all else is known. */
    private static boolean comesAgain(Vector signed) throws Exception {
        Logger.getLogger("noteflow.webhooks").setLevel(Level.OFF);
        int[] times = {0, 0, 0};
        Receiver[] receiver = {null};
        Receiver.Action store = event -> {
            if (times[2] == 0) times[2] = send(receiver[0], signed);
            if (++times[0] == 1) throw new IOException("the disk is full");
        };
        Receiver.Action handle = event -> {
            if (++times[1] == 1) throw new IOException("no");
        };
        receiver[0] = new Receiver(signed.verifier(), handle, store, new Receiver.Seen(), 1 << 20);
        List<Integer> found = new ArrayList<>();
        for (int i = 0; i < 4; i++) found.add(send(receiver[0], signed));
        for (int each : times) found.add(each);
        if (!found.equals(List.of(500, 204, 204, 204, 3, 2, 503))) System.out.println("events: " + found);
        return found.equals(List.of(500, 204, 204, 204, 3, 2, 503));
    }

    private static int send(Receiver receiver, Vector signed) {
        Receiver.Answer answer = receiver.take("POST", signed.body, signed.headers);
        receiver.after(answer);
        return answer.status();
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
