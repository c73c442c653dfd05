"""The pages: each view asks the server and returns a template with its values."""
