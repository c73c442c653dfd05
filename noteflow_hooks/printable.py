"""Text that others wrote, made fit to be shown: it stays on its line and steers no terminal."""

from __future__ import annotations


def escape(text: str, *, keep: str = "") -> str:
    """Return the text with every character that is not plainly printable, but those in ``keep``, written out."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else _written(character) for character in text
    )


def _written(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii") if character != "\x7f" else "\\x7f"
