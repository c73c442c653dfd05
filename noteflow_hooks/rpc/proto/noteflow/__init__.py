"""The proto's own package path."""
