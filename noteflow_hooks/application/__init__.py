"""What a caller may ask for, in one unit of work each; gRPC and the commands only translate."""
