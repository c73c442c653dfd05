# frozen_string_literal: true

# Verifies NoteFlow's webhooks over the raw body; noteflow_webhooks.rb beside it deduplicates, answers, and hands events on.
# It needs the standard library alone. What is wrong with a request has a name, the same in every language; docs/kits.md
# has the list, and what to do about each.

require "json"
require "openssl"

module NoteflowWebhooks
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
end
