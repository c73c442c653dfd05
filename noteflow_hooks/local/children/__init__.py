"""Processes that end with their parent."""
