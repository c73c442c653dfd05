"""What is sent of an event in each format: pure functions of what happened, so that each attempt's bytes are the same.

A renderer whose output changes gets a new number in :mod:`registry`, and the old one stays for what was begun with it.
"""
