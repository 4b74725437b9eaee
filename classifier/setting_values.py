"""Values of settings that have a form of their own: each reads a text, and raises ValueError for any other."""

from __future__ import annotations

import re

ENCRYPTIONS = ("AES256", "aws:kms", "aws:kms:dsse")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9*.-]+(:\d+)?")
_KMS_KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:(key|alias)/[\w/-]+")
_HOST = re.compile(r"(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PATH = re.compile(r"[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*")


def hosts(value: str) -> tuple[str, ...] | None:
    """None for any host, () for none."""
    names = tuple(name.strip().lower() for name in value.split(",") if name.strip())
    if names == ("off",):
        return ()
    if not all(_HOST.fullmatch(name) for name in names):
        raise ValueError(value)
    return names or None


def contact(value: str) -> str:
    """What a User-Agent can hold in parentheses."""
    if not value.isascii() or not value.isprintable() or set(value) & set("()\\"):
        raise ValueError(value)
    return value


def base_path(value: str) -> str:
    """A path with its slash in front, or nothing."""
    if value.strip("/") and not _PATH.fullmatch(value.strip("/")):
        raise ValueError(value)
    return f"/{value.strip('/')}" if value.strip("/") else ""


def names(value: str) -> tuple[str, ...]:
    """Names of models, without spaces around them."""
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    if not all(_NAME.fullmatch(name) for name in names):
        raise ValueError(value)
    return names


def origins(value: str) -> str:
    """Origins as a Content-Security-Policy takes them."""
    if not all(part == "*" or _ORIGIN.fullmatch(part) for part in value.split()):
        raise ValueError(value)
    return value


def capture(value: str) -> tuple[float, bool] | None:
    """The share that is drawn, and whether all are kept that the model is not sure of; None for nothing."""
    words = [word.strip() for word in value.split(",")]
    if words in ([""], ["off"]):
        return None
    shares = [float(word) for word in words if word != "unsure"]
    if len(shares) > 1 or len(words) - len(shares) > 1 or not all(0 < share <= 1 for share in shares):
        raise ValueError(value)
    return sum(shares), "unsure" in words


def encryption(value: str) -> str:
    """Server-side encryption as S3 names it, or a KMS key's ARN."""
    if value and value not in ENCRYPTIONS and not _KMS_KEY.fullmatch(value):
        raise ValueError(value)
    return value
