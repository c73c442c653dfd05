"""The RPCs, by subject. Each parses its request, calls the application, and converts the result; it decides nothing."""
