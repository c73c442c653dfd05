"""Streams that tell of what changes, all fed by one look at the database."""
