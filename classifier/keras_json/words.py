"""Tables of names, written as the words of a text: a hundred names read better in five lines than in a hundred."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())
