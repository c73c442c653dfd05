"""The wire's words and ours: parsing, converting, pages."""
