"""The gRPC server: each module turns calls into use cases and their results and errors into answers."""
