"""The log for people: a sentence for a request, a model or a compiled form; what only machines want is left out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from classifier.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLATFORM = ("START RequestId:", "END RequestId:", "REPORT RequestId:", "INIT_REPORT", "INIT_START")


def sentence(line: str) -> str | None:
    """What a line of a function's log says to a person; None for one that is not for people.

    Lines that are not ours (a traceback, what a library prints) are passed on as they are.
    """
    text = line.rstrip("\n")
    if not text or text.startswith(_PLATFORM):
        return None
    try:
        fields = json.loads(text)
    except ValueError:
        return text
    if not isinstance(fields, dict) or "message" not in fields:
        return text
    clock = str(fields.get("time", ""))[11:19]
    said = _request(fields) if fields["message"] == "request" else _event(fields)
    return f"{clock}  {printable(said)}" if said else None  # JSON kept a caller's controls out of the terminal


def _request(fields: Mapping[str, Any]) -> str:
    what = f"{fields.get('method', '')} {fields.get('route', '')}".strip() or str(fields.get("kind", "request"))
    how = f" by {fields['engine']}" if fields.get("engine") else ""
    cold = ", cold" if fields.get("cold_start") else ""
    why = f": {fields['error']}" if fields.get("error") else ""
    return f"{what} {fields.get('status')} in {fields.get('ms')} ms{how}{cold}{why}"


def _event(fields: Mapping[str, Any]) -> str:
    match fields["message"]:
        case "compile":
            return _compiled(fields)
        case "model loaded":
            return f"model {fields.get('version', '')} is loaded, {fields.get('engine', '')} serves it"
        case "compiling":
            return f"compiling model {fields.get('version', '')}, which takes a minute or so ..."
        case message:
            why = f": {fields['error']}" if fields.get("error") else ""
            return f"{message}{why}"


def _compiled(fields: Mapping[str, Any]) -> str:
    if fields.get("result") != "compiled":
        return ""  # nothing was to do
    if fields.get("usable"):
        return f"model {fields.get('version', '')} is compiled: LiteRT serves it from now on"
    return f"model {fields.get('version', '')} is not compiled, TensorFlow serves it: {fields.get('reason', '')}"
