"""Which characters a label of an international host name may have: IDNA2008 (RFC 5892), with its rules of context.

Registries and browsers allow fewer or more; what matters here is that no label looks like something else to us than to
a resolver, and that names which people have are taken.
"""

from __future__ import annotations

import unicodedata

from classifier.errors import LinkError

_CATEGORIES = {"Ll", "Lo", "Lm", "Mn", "Mc", "Nd"}
_KATAKANA_DOT = "\u30fb"
_JAPANESE = ("HIRAGANA", "KATAKANA", "CJK UNIFIED", "CJK COMPATIBILITY", "IDEOGRAPHIC ITERATION")
_VIRAMA = 9


def check_label(label: str) -> None:
    """LinkError if the label has a character that no host name has, or one in the wrong place."""
    for place, char in enumerate(label):
        if not (char.isascii() or unicodedata.category(char) in _CATEGORIES or _fits(label, place)):
            raise LinkError("a character that no host name has, at least not there")
    if label.startswith("xn--") and not label.isascii():
        raise LinkError("a label that is written in two ways")


def _fits(label: str, place: int) -> bool:
    """Whether a character that needs a context has it (RFC 5892, appendix A.1 to A.7)."""
    before, after = label[:place], label[place + 1 :]
    match label[place]:
        case "\u200d":  # zero width joiner
            return _after_virama(before)
        case "\u200c":  # zero width non-joiner
            return _after_virama(before) or (_joins(before[::-1]) and _joins(after))
        case "\u00b7":  # middle dot
            return before.endswith("l") and after.startswith("l")
        case "\u0375":  # greek lower numeral sign
            return _is("GREEK", after[:1])
        case "\u05f3" | "\u05f4":  # geresh, gershayim
            return _is("HEBREW", before[-1:])
        case "\u30fb":  # katakana middle dot
            return any(_is(script, char) for char in label if char != _KATAKANA_DOT for script in _JAPANESE)
    return False


def _after_virama(before: str) -> bool:
    return bool(before) and unicodedata.combining(before[-1]) == _VIRAMA


def _joins(text: str) -> bool:
    """Whether the next letter, marks passed over, is of a script whose letters join, such as Arabic."""
    letter = next((char for char in text if unicodedata.category(char) != "Mn"), "")
    return bool(letter) and unicodedata.bidirectional(letter) == "AL"


def _is(script: str, char: str) -> bool:
    return bool(char) and unicodedata.name(char, "").startswith(script)
