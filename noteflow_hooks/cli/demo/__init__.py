"""The demo: a meeting, a receiver that verifies, and a report."""
