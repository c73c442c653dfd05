"""The protocols that use cases and workers need of a store. Each has two adapters: SQL and in memory."""
