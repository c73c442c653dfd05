# frozen_string_literal: true

# Receives NoteFlow's webhooks: verifies the raw body, deduplicates, answers, and hands the event on after the answer.
# Copy this file and noteflow_verifier.rb: they need the standard library alone.

require_relative "noteflow_verifier"

module NoteflowWebhooks
  # What each name is answered with. 401: the sender's fault. 5xx: our own, and the event is sent again.
  STATUS = {
    "missing_header" => 401, "malformed_header" => 401, "too_old" => 401, "too_new" => 401, "no_match" => 401,
    "not_post" => 405, "body_too_large" => 413, "body_not_raw" => 500, "store_failed" => 500, "in_progress" => 503
  }.freeze

  # Remembers the last ids, in this process. Several processes need one of your own: a table, or Redis.
  class Seen
    def initialize(most = 100_000)
      @most, @lock, @states = most, Mutex.new, {}
    end

    # Returns "new", and remembers it as pending, in one step; else "pending" or "done".
    def begin(id)
      @lock.synchronize do
        known = @states[id]
        @states[id] ||= "pending"
        @states.shift if @states.size > @most
        known || "new"
      end
    end

    def done(id) = @lock.synchronize { @states[id] = "done" }
    def forget(id) = @lock.synchronize { @states.delete(id) }
  end

  # A Rack application: map "/hooks" to it. The block is called with each event after the answer, so it may take its time;
  # where it raises, the event is forgotten, so that a redelivery is handled again. store is called before the answer and
  # has to be quick: what must outlive this process goes into a table or a queue there; where it raises, the answer is 500
  # and the event comes again. Events come at least once; of those whose id seen knows, neither is called.
  class Receiver
    def initialize(secrets, store: nil, seen: Seen.new, most_bytes: 1_048_576, log: method(:warn), **options, &handle)
      @verifier = Verifier.new(secrets, **options)
      @handle, @store, @seen, @most_bytes, @log = handle, store, seen, most_bytes, log
    end

    def call(env)
      return refused("not_post") unless env["REQUEST_METHOD"] == "POST"

      body = env["rack.input"]&.read(@most_bytes + 1) || ""
      return refused("body_too_large") if body.bytesize > @most_bytes

      event = @verifier.verify(body, headers_of(env))
      event.type == "webhook.verification" ? challenge(event.json) : take(event)
    rescue WebhookError => e
      @log.call("a webhook is refused: #{e.message}")
      refused(e.reason)
    end

    private

    def take(event)
      state = event.id.empty? ? "new" : @seen.begin(event.id) # only with the scheme "plain" may there be no id
      return refused("in_progress") if state == "pending"
      return [204, {}, []] if state == "done"

      stored?(event) ? [204, {}, Sent.new(-> { after(event) })] : refused("store_failed")
    end

    def stored?(event)
      @store&.call(event)
      @seen.done(event.id)
      true
    rescue StandardError => e
      @log.call("event #{event.id} could not be stored, and is sent again: #{e.message}")
      @seen.forget(event.id)
      false
    end

    def after(event)
      @handle&.call(event)
    rescue StandardError => e
      @log.call("event #{event.id} was answered, and could not be handled: #{e.message}")
      @seen.forget(event.id)
    end

    def headers_of(env)
      named = env.select { |name, _| name.start_with?("HTTP_") }.to_h { |name, value| [name[5..].tr("_", "-"), value] }
      named.merge("content-length" => env["CONTENT_LENGTH"].to_s)
    end

    def challenge(payload)
      json(200, { "challenge" => payload["challenge"] || payload.dig("data", "challenge") })
    end

    def refused(reason)
      json(STATUS.fetch(reason), { "error" => reason }, STATUS[reason] == 503 ? { "retry-after" => "5" } : {})
    end

    def json(status, body, headers = {})
      written = JSON.generate(body)
      [status, { "content-type" => "application/json", "content-length" => written.bytesize.to_s, **headers }, [written]]
    end

    # An answer without a body, that hands the event on when the server closes it, once it is sent.
    Sent = Struct.new(:close_with) do
      def each; end
      def close = close_with.call
    end
  end
end
