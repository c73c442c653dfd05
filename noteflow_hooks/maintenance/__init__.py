"""What goes on beside delivering: what dead workers held, replays, retention, and the clock."""
