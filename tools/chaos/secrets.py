"""What no reply and no line of the log may repeat: credentials, what signs a link, and the pictures themselves."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SIGNED = "X-Amz-Signature=canary-signature"
BEARER = {"authorization": "Bearer canary-bearer", "cookie": "session=canary-cookie"}
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "CANARYACCESSKEY",
    "AWS_SECRET_ACCESS_KEY": "canary-secret",
    "AWS_SESSION_TOKEN": "canary-token",
}
WORDS = ("canary-", "CANARYACCESSKEY")
_EXCERPT_BYTES = 30


def canaries(pictures: Mapping[str, bytes]) -> tuple[str, ...]:
    """Everything that must not be found, with an excerpt of each picture in base64, whatever its alignment."""
    words = [*WORDS]
    for data in pictures.values():
        middle = len(data) // 2
        excerpts = (data[at : at + _EXCERPT_BYTES] for at in range(middle, middle + 3))
        words += [base64.b64encode(excerpt).decode() for excerpt in excerpts]
    return tuple(words)


def found_in(texts: Iterable[str], words: tuple[str, ...]) -> list[str]:
    """The texts, shortened, that repeat one of the words."""
    return [text[:500] for text in texts if any(word in text for word in words)]
