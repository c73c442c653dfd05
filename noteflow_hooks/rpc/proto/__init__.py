"""The proto, and the code generated from it (``make proto``)."""
