# frozen_string_literal: true

# ruby kits/ruby/vectors.rb: checks the kit against the vectors and samples of conformance/, and measures it.

require "stringio"
require_relative "noteflow_webhooks"

vectors = %w[vectors samples].flat_map do |name|
  JSON.parse(File.read(File.join(__dir__, "../../conformance/#{name}.json")))["vectors"]
end

def verifier_of(vector)
  NoteflowWebhooks::Verifier.new(
    vector["secrets"], scheme: vector["scheme"], tolerance_s: vector["tolerance_s"], now: -> { vector["now"] }
  )
end

wrong = vectors.reject do |vector|
  verifier_of(vector).verify(vector["body_base64"].unpack1("m0"), vector["headers"])
  vector["expected"] == "ok"
rescue NoteflowWebhooks::WebhookError => e
  e.reason == vector["expected"] || puts("#{vector["name"]}: #{e.reason}, expected #{vector["expected"]}")
end
puts "#{vectors.size - wrong.size} vectors passed, #{wrong.size} failed"

["the published vector of Standard Webhooks", "a public key"].each do |name|
  vector = vectors.find { |each| each["name"] == name }
  verifier, body = verifier_of(vector), vector["body_base64"].unpack1("m0")
  started = Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID)
  2000.times { verifier.verify(body, vector["headers"]) }
  puts format("%.1f µs: %s", (Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID) - started) * 1e6 / 2000, name)
end

# What could not be stored, or handled, comes again; what is being stored is to come again; all else is known.
signed = vectors.find { |each| each["name"] == "both signatures by one secret" }
env = signed["headers"].to_h { |name, value| ["HTTP_#{name.upcase.tr("-", "_")}", value] }
send = lambda do |receiver|
  input = StringIO.new(signed["body_base64"].unpack1("m0"))
  status, _, answer = receiver.call(env.merge("REQUEST_METHOD" => "POST", "rack.input" => input))
  answer.close if answer.respond_to?(:close)
  status
end
stored, handled, meanwhile = 0, 0, nil
receiver = nil
store = lambda do |_|
  meanwhile ||= send.call(receiver)
  raise "the disk is full" if (stored += 1) == 1
end
options = { store: store, now: -> { signed["now"] }, log: ->(_) {} }
receiver = NoteflowWebhooks::Receiver.new(signed["secrets"], **options) { raise "no" if (handled += 1) == 1 }
found = Array.new(4) { send.call(receiver) } + [meanwhile, stored, handled]
is_right = found == [500, 204, 204, 204, 503, 3, 2]
puts "events: #{found}" unless is_right
exit(wrong.empty? && is_right ? 0 : 1)
