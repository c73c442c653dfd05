"""What every call passes through before its RPC: the token, the limits, and the answers to errors."""
