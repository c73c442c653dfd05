"""What the use cases need of the world. Two adapters each: SQL and in memory."""
