"""The way to Redis: the names of tasks and queues, the sender of wake-ups, and how long a queue is."""
