"""What threads of one process do for each other. Standard library only; knows nothing of deliveries."""
