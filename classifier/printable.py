"""Text that a caller, a stranger's server or a bundle chose, made harmless for a log line and a terminal."""

from __future__ import annotations

import json


def printable(text: str) -> str:
    """The text, whatever is no printable character written as JSON escapes it: in JSON it stays the same text.

    Those are controls of terminals (C0 and C1), ends of lines and paragraphs, marks of direction and other invisible
    characters, and halves of surrogate pairs.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
