"""NoteFlow Hooks: signed webhook deliveries for NoteFlow's events, at least once, with every attempt on record."""

from __future__ import annotations

#: The project's version, which ``User-Agent`` names.
__version__ = "0.1.0"
