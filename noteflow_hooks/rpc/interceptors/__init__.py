"""What every call passes before its RPC: the token, the limits, and errors made into answers."""
