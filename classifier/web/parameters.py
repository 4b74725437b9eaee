"""Parameters as queries and forms carry them (https://url.spec.whatwg.org/#application/x-www-form-urlencoded)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

from classifier.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

type Parameters = tuple[tuple[str, str], ...]

MAX_CHARS = 16_384
MAX_PARAMETERS = 100
LINK = "imagelink"
WITHOUT_SPACES = (LINK, "image")
"""A URL contains no space and base64 neither: a `+` in these is a plus, also where the caller did not encode it."""

KNOWN = (LINK, "s3key", "image", "images", "top", "explain", "model")
"""What /classify reads. Whatever asks for a parameter more puts its name here."""
PLAIN = tuple(name for name in KNOWN if name != "image")
"""Those that are never a picture's bytes."""
ALIASES = {
    **dict.fromkeys(("url", "uri", "link", "href", "src", "img", "image_url", "imageurl", "image_link"), LINK),
    **dict.fromkeys(("file", "photo", "picture", "b64", "base64", "image_base64"), "image"),
    **dict.fromkeys(("key", "s3_key", "object"), "s3key"),
    **dict.fromkeys(("topp", "top_k", "topk", "k", "n", "limit", "count"), "top"),
}
_NAMED = 5


def unknown(unread: Iterable[str]) -> tuple[str, ...]:
    """The names, each once, with the known one that was probably meant in brackets; a few of them."""
    names = dict.fromkeys(name[:40] for name in unread)
    return tuple(f"{name} ({meant})" if (meant := _meant(name)) else name for name in list(names)[:_NAMED])


def hint(names: tuple[str, ...], query: Parameters = ()) -> str:
    """What to tell a caller whose request failed and had parameters that nobody reads; empty if there are none."""
    if not names:
        return ""
    said = f"Not known here: {', '.join(names)}."
    if any(name == LINK and "?" in value for name, value in query):
        return f"{said} If they belong to imagelink, percent-encode the link: its & became ours."
    return said


def _meant(name: str) -> str:
    lower = name.lower()
    if lower in ALIASES:
        return ALIASES[lower]
    from difflib import get_close_matches

    return next(iter(get_close_matches(lower, KNOWN, 1, 0.75)), "")


def encoded(text: str, max_chars: int = MAX_CHARS) -> Parameters:
    """The pairs of an encoded query or form, decoded and in order; RequestError if it is too long or not UTF-8."""
    _check_size(len(text), max_chars)
    parts = [part.partition("=") for part in text.split("&") if part]
    check_count(len(parts))
    try:
        names = [unquote_plus(name, errors="strict") for name, _, _ in parts]
        return tuple((name, _value(name, raw)) for name, (_, _, raw) in zip(names, parts, strict=True))
    except UnicodeDecodeError as error:
        raise RequestError("not UTF-8", public="The parameters are not percent-encoded UTF-8.") from error


def decoded(pairs: Iterable[tuple[str, str | None]]) -> Parameters:
    """Pairs that a gateway has decoded already, each `+` that the caller left bare as a space."""
    found = tuple((str(name), "" if value is None else str(value)) for name, value in pairs)
    _check_size(sum(len(name) + len(value) + 2 for name, value in found))
    check_count(len(found))
    return tuple((name, _with_plus(value) if name == LINK else value) for name, value in found)


def _value(name: str, raw: str) -> str:
    return (unquote if name in WITHOUT_SPACES else unquote_plus)(raw, errors="strict")


def _with_plus(link: str) -> str:
    # A caller encodes every plus or none: where one has arrived as itself, a space was meant as a space.
    return link if "+" in link else link.strip(" ").replace(" ", "+")


def _check_size(chars: int, most: int = MAX_CHARS) -> None:
    if chars > most:
        raise RequestError(public=f"The parameters have {chars} characters; at most {most} are read.")


def check_count(count: int) -> None:
    """RequestError for more parameters, or fields of a body, than anybody has a use for."""
    if count > MAX_PARAMETERS:
        raise RequestError(public=f"There are {count} parameters; at most {MAX_PARAMETERS} are read.")
