"""`noteflow-hooks exporter`: what the rows say, for Prometheus. It reads, and changes nothing."""
