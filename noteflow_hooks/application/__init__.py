"""What a caller may ask for. gRPC and the commands only translate; they decide nothing."""
