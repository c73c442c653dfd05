"""What the servers of one ``serve --processes`` share: their limits, and which of them records a meeting."""
