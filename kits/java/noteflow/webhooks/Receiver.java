package noteflow.webhooks;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpHandler;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.logging.Level;
import java.util.logging.Logger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * An endpoint, a handler of the JDK's own HTTP server. Under Spring or in a servlet call {@link #take} with the bytes of the
 * body, send its answer, and then call {@link #after}.
 *
 * <p>Events come at least once; of those whose id is known, neither store nor handle is called.
 */
public final class Receiver implements HttpHandler {
    /** What to answer; the event, where there is one, is to be handed to after() once that is sent. */
    public record Answer(int status, String body, Verifier.Event event) {}

    /** What may fail. */
    public interface Action {
        void on(Verifier.Event event) throws Exception;
    }

    /** Where ids are remembered. Several processes need one of your own: a table, or Redis. */
    public interface Remembers {
        /** Returns "new", and remembers the id as pending, in one step; else "pending" or "done". */
        String begin(String id);

        void done(String id);

        void forget(String id);
    }

    /** Remembers the last ids, in this process. */
    public static final class Seen implements Remembers {
        private final Map<String, String> states = new LinkedHashMap<>() {
            @Override
            protected boolean removeEldestEntry(Map.Entry<String, String> eldest) {
                return size() > 100_000;
            }
        };

        @Override
        public synchronized String begin(String id) {
            String known = states.putIfAbsent(id, "pending");
            return known == null ? "new" : known;
        }

        @Override
        public synchronized void done(String id) {
            states.put(id, "done");
        }

        @Override
        public synchronized void forget(String id) {
            states.remove(id);
        }
    }

    /** What each name is answered with. 401: the sender's fault. 5xx: our own, and the event is sent again. */
    private static final Map<String, Integer> STATUS = Map.of(
            "missing_header", 401, "malformed_header", 401, "too_old", 401, "too_new", 401, "no_match", 401,
            "not_post", 405, "body_too_large", 413, "body_not_raw", 500, "store_failed", 500, "in_progress", 503);
    private static final Pattern CHALLENGE = Pattern.compile("\"challenge\"\\s*:\\s*\"([A-Za-z0-9_=-]+)\"");
    private static final Logger LOG = Logger.getLogger("noteflow.webhooks");

    private final Verifier verifier;
    private final Action handle;
    private final Action store;
    private final Remembers seen;
    private final int mostBytes;

    /** handle is called with each event after the answer, so it may take its time. */
    public Receiver(Verifier verifier, Action handle) {
        this(verifier, handle, event -> {}, new Seen(), 1 << 20);
    }

    /**
     * store is called before the answer and has to be quick: what must outlive this process goes into a table or a queue
     * there. Where it throws, the answer is 500 and the event comes again.
     */
    public Receiver(Verifier verifier, Action handle, Action store, Remembers seen, int mostBytes) {
        this.verifier = verifier;
        this.handle = handle;
        this.store = store;
        this.seen = seen;
        this.mostBytes = mostBytes;
    }

    @Override
    public void handle(HttpExchange exchange) throws IOException {
        Map<String, String> headers = new HashMap<>();
        exchange.getRequestHeaders().forEach((name, values) -> headers.put(name, values.get(0)));
        byte[] body = exchange.getRequestBody().readNBytes(mostBytes + 1);
        Answer answer = take(exchange.getRequestMethod(), body, headers);
        try (exchange) {
            byte[] written = answer.body.getBytes(StandardCharsets.UTF_8);
            if (answer.status == 503) exchange.getResponseHeaders().set("Retry-After", "5");
            if (written.length > 0) exchange.getResponseHeaders().set("Content-Type", "application/json");
            exchange.sendResponseHeaders(answer.status, written.length > 0 ? written.length : -1);
            exchange.getResponseBody().write(written);
        } finally { // also where the sender has gone: it sends again, and is told that the event is there
            after(answer);
        }
    }

    /** Returns what to answer. The body is the bytes as they came. */
    public Answer take(String method, byte[] body, Map<String, String> headers) {
        if (!method.equals("POST")) return refused("not_post");
        if (body.length > mostBytes) return refused("body_too_large");
        Verifier.Event event;
        try {
            event = verifier.verify(body, headers);
        } catch (Verifier.WebhookException error) {
            LOG.warning("a webhook is refused: " + error.getMessage());
            return refused(error.reason);
        }
        if (event.type().equals("webhook.verification")) {
            Matcher found = CHALLENGE.matcher(new String(body, StandardCharsets.UTF_8));
            return new Answer(200, found.find() ? "{\"challenge\": \"" + found.group(1) + "\"}" : "", null);
        }
        // Only with the scheme PLAIN may there be no id.
        String state = event.id().isEmpty() ? "new" : seen.begin(event.id());
        if (state.equals("new")) return stored(event) ? new Answer(204, "", event) : refused("store_failed");
        return state.equals("pending") ? refused("in_progress") : new Answer(204, "", null);
    }

    /** Hands the event on, once the answer is sent. One that fails is forgotten: a redelivery is handled again. */
    public void after(Answer answer) {
        run(handle, answer.event, "was answered, and could not be handled");
    }

    private boolean stored(Verifier.Event event) {
        boolean isStored = run(store, event, "could not be stored, and is sent again");
        if (isStored) seen.done(event.id());
        return isStored;
    }

    private boolean run(Action action, Verifier.Event event, String otherwise) {
        try {
            if (event != null) action.on(event);
            return true;
        } catch (Exception error) {
            LOG.log(Level.SEVERE, "event " + event.id() + " " + otherwise, error);
            seen.forget(event.id());
            return false;
        }
    }

    private static Answer refused(String reason) {
        return new Answer(STATUS.get(reason), "{\"error\": \"" + reason + "\"}", null);
    }
}
