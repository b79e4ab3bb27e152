"""Text from outside, such as a subject's message or a file of somebody else's, made harmless for a terminal."""

from __future__ import annotations


def visible(text: str) -> str:
    """Return the text with an escape in place of each character that would act on a terminal or cannot be written to it."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
