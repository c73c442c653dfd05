"""Mails: where the operator's mail server is, what a mail says, and how it is sent. The standard library alone."""
