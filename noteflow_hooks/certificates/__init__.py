"""Certificates and keys: what they say, by the library `cryptography`, and how OpenSSL is given them."""
