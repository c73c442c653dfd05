"""The RPCs, by what they are about: each parses, calls and converts."""
