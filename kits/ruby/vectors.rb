# frozen_string_literal: true

# ruby kits/ruby/vectors.rb: checks the kit against conformance/vectors.json, and measures it.

require_relative "noteflow_webhooks"

vectors = JSON.parse(File.read(File.join(__dir__, "../../conformance/vectors.json")))["vectors"]

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
exit(wrong.empty? ? 0 : 1)
