"""The gRPC server: it turns calls into use cases, and their results and errors into answers."""
