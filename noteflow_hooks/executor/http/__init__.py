"""One HTTP/1.1 exchange under one deadline, below requests' adapter."""
