"""The server: its options, its addresses, its start and its end."""
