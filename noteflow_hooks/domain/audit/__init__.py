"""The audit trail: who changed what, and what the system has changed by itself."""
