# frozen_string_literal: true

# Receives NoteFlow's webhooks: verifies the raw body, deduplicates, answers, and hands the event on after the answer.
# Copy this file: it needs the standard library alone. What is wrong with a request has a name, the same in every
# language; docs/kits.md has the list, and what to do about each.

require "json"
require "openssl"

module NoteflowWebhooks
  # What each name is answered with. 401: the sender's fault. 5xx: our own, and the event is sent again.
  STATUS = {
    "missing_header" => 401, "malformed_header" => 401, "too_old" => 401, "too_new" => 401, "no_match" => 401,
    "not_post" => 405, "body_too_large" => 413, "body_not_raw" => 500, "store_failed" => 500, "in_progress" => 503
  }.freeze
  SIGNATURES_LIMIT = 16
  SPKI = ["302a300506032b6570032100"].pack("H*")
  # Public keys by which everybody can sign, without their sign: the points of small order.
  EVERYBODYS = [
    "00" * 32, "01#{"00" * 31}", *%w[ec ed ee].map { |first| "#{first}#{"ff" * 30}7f" },
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
  ].freeze

  # A request, or a secret, that is not taken; reason is the name of what is wrong.
  class WebhookError < StandardError
    attr_reader :reason

    def initialize(reason, detail = nil)
      super([reason, detail].compact.join(": "))
      @reason = reason
    end
  end

  # What has come, verified. id is the same over all attempts; headers have names in small letters.
  Event = Struct.new(:id, :type, :body, :headers, keyword_init: true) do
    def json = JSON.parse(body)
  end

  # Knows an endpoint's secrets (whsec_… or plain) and public keys (whpk_…): one that fits is enough. scheme says which
  # signatures are asked for: "standard" (webhook-signature), "plain" (X-NoteFlow-Signature, which has no time and no
  # id), or "both". Raises WebhookError, secret_malformed.
  class Verifier
    def initialize(secrets, scheme: "standard", tolerance_s: 300, now: -> { Time.now.to_f })
      raise WebhookError.new("secret_malformed", "there is none") if secrets.empty?
      raise ArgumentError, "no scheme #{scheme}" unless %w[standard plain both].include?(scheme)

      keys = secrets.map { |secret| key_of(secret) }
      @secrets, @public = keys.partition { |key| key.is_a?(Array) }
      @scheme, @tolerance_s, @now = scheme, tolerance_s, now
    end

    # Returns the event; raises WebhookError with the name of what is wrong. body is the bytes as they came.
    def verify(body, headers)
      raise WebhookError.new("body_not_raw", "it is a #{body.class}") unless body.is_a?(String)

      body, sent = body.b, headers.to_h { |name, value| [name.downcase, value] }
      check(standard?(body, sent), body, sent) unless @scheme == "plain"
      check(plain?(body, sent), body, sent) unless @scheme == "standard"
      Event.new(id: sent["webhook-id"].to_s, type: sent["x-noteflow-event"].to_s, body: body, headers: sent)
    end

    private

    def standard?(body, sent)
      id, written, signature = %w[id timestamp signature].map { |name| header(sent, "webhook-#{name}") }
      raise WebhookError.new("malformed_header", "webhook-id") unless /\A[A-Za-z0-9_-]{1,128}\z/.match?(id)
      raise WebhookError.new("malformed_header", "webhook-timestamp") unless /\A(0|[1-9][0-9]{0,11})\z/.match?(written)

      age_s = @now.call - written.to_i
      raise WebhookError.new(age_s.positive? ? "too_old" : "too_new", "by #{age_s.abs.round} s") if age_s.abs > @tolerance_s

      content, given = "#{id}.#{written}.".b + body, signature.split(" ", -1).first(SIGNATURES_LIMIT)
      macs = @secrets.map { |key, _| "v1,#{[OpenSSL::HMAC.digest("SHA256", key, content)].pack("m0")}" }
      # All are compared, even after a match, so that the time taken reveals nothing.
      found = macs.product(given).count { |mac, each| OpenSSL.secure_compare(mac, each) }
      signed = given.filter_map { |each| decoded(each.delete_prefix("v1a,")) if each.start_with?("v1a,") }
      found.positive? || @public.any? { |key| signed.any? { |each| signed?(key, each, content) } }
    end

    def plain?(body, sent)
      given = header(sent, "x-noteflow-signature")
      macs = @secrets.map { |_, key| "sha256=#{OpenSSL::HMAC.hexdigest("SHA256", key, body)}" }
      macs.count { |mac| OpenSSL.secure_compare(mac, given) }.positive?
    end

    def check(fits, body, sent)
      length = sent["content-length"].to_s
      if !fits && /\A[0-9]+\z/.match?(length) && length.to_i != body.bytesize
        raise WebhookError.new("body_not_raw", "#{body.bytesize} bytes, #{length} were sent")
      end
      raise WebhookError, "no_match" unless fits
    end

    def header(sent, name)
      raise WebhookError.new("missing_header", name) if sent[name].to_s.empty?

      sent[name]
    end

    def signed?(key, signature, content)
      signature.bytesize == 64 && key.verify(nil, signature, content)
    rescue OpenSSL::PKey::PKeyError
      false
    end

    def key_of(secret)
      prefix = secret[/\A(whsec_|whpk_|whsk_|)/]
      raw = decoded(secret.delete_prefix(prefix))
      return [raw, secret] if prefix == "whsec_" && (24..64).cover?(raw.bytesize)
      return [secret, secret] if prefix.empty? && /\A[!-~]{8,256}\z/.match?(secret)
      return OpenSSL::PKey.read(SPKI + raw) if prefix == "whpk_" && raw.bytesize == 32 && !everybodys?(raw)

      raise WebhookError.new("secret_malformed", "whsec_…, 8 to 256 visible characters, or whpk_… (a public key)")
    rescue OpenSSL::PKey::PKeyError
      raise WebhookError.new("secret_malformed", "no public key")
    end

    def everybodys?(raw) = EVERYBODYS.include?((raw[0, 31] + (raw.getbyte(31) & 127).chr).unpack1("H*"))

    # The bytes of strict base64; none where it is not.
    def decoded(text)
      raw = text.unpack1("m")
      [raw].pack("m0") == text ? raw : "".b
    end
  end

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
