"""The workers' half in memory: each call is one transaction."""
