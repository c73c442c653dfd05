"""What the system is about, in values: events, webhooks, deliveries, meetings. Standard library only."""
