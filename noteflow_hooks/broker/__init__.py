"""The way to Redis: the names of tasks and queues, the sender of wake-ups, and how long a queue is."""

import sys

if "opentelemetry" not in sys.modules and "redis" not in sys.modules:
    # redis-py imports OpenTelemetry's metrics where they are installed, for figures that nobody here asks it for: with
    # the extra `tracing` that would be two megabytes of each process, also of those that trace nothing.
    sys.modules["opentelemetry"] = None  # type: ignore[assignment]  # what is None there can't be imported
    try:
        import redis  # noqa: F401 - so that it is there
    finally:
        del sys.modules["opentelemetry"]
