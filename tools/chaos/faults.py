"""What can go wrong with S3: how each request then ends, and which errors that explains."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from classifier.bundles.compiled import FOLDER
from tests.support.scripted_s3 import error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from tests.support.origin import Peer

PIECES = 8
PIECE_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Call:
    """One request on its way to S3: `forward` gets the whole reply, head and body, as it would go out."""

    is_list: bool
    path: str
    headers: Mapping[str, str]
    peer: Peer
    forward: Callable[[], bytes]
    over: Callable[[], bool]
    """Whether the fault has passed meanwhile."""
    chance: Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A state of S3. `by_key` and `cold` are the codes that it explains, all others stay failures of ours.

    `by_key` is for requests that read their picture from S3, `cold` for any request to a sandbox without a model yet:
    one that has a model goes on answering whatever S3 does.
    """

    name: str
    behave: Callable[[S3Call], None] = field(repr=False)
    by_key: frozenset[str] = frozenset()
    cold: frozenset[str] = frozenset()


def pass_on(call: S3Call) -> None:
    """What S3 does when nothing is wrong."""
    call.peer.send(call.forward())


def _slow(call: S3Call) -> None:
    call.peer.pause(call.chance.uniform(0.1, 0.5))
    pass_on(call)


def _drip(call: S3Call) -> None:
    data = call.forward()
    size = len(data) // PIECES + 1
    for at in range(0, len(data), size):
        call.peer.send(data[at : at + size])
        call.peer.pause(PIECE_PAUSE_S)


def _interrupt(call: S3Call) -> None:
    data = call.forward()
    if call.chance.random() < 0.5:
        call.peer.send(data)
        return
    call.peer.send(data[: call.chance.randrange(len(data))])
    call.peer.reset()
    raise ConnectionAbortedError


def _stall(call: S3Call) -> None:
    data = call.forward()
    call.peer.send(data[: len(data) // 2])
    while not call.over():
        call.peer.pause(0.05)
    raise ConnectionAbortedError


def _refuse(call: S3Call) -> None:
    call.peer.reset()
    raise ConnectionAbortedError


def _always(status: str, code: str) -> Callable[[S3Call], None]:
    reply = error(status, code)
    return lambda call: reply(call.peer)


def _objects_only(status: str, code: str) -> Callable[[S3Call], None]:
    reply = error(status, code)
    return lambda call: pass_on(call) if call.is_list else reply(call.peer)


def _compiled_denied(call: S3Call) -> None:
    """The role may read the bundle, but not what was compiled of it."""
    if f"/{FOLDER}" in call.path and not call.is_list:
        error("403 Forbidden", "AccessDenied")(call.peer)
    else:
        pass_on(call)


def _replace(call: S3Call) -> None:
    """The object that was listed is no longer the one that is there."""
    if "if-match" in call.headers:
        error("412 Precondition Failed", "PreconditionFailed")(call.peer)
    else:
        pass_on(call)


_DOWN = frozenset({"503 storage_unavailable"})
LOADING = frozenset({"503 model_loading"})
_BROKEN_OFF = _DOWN | LOADING
_NO_LISTING = frozenset({"503 storage_unavailable", "503 model_unavailable"})
_NO_HISTORY = _NO_LISTING | {"500 model_invalid", "500 model_not_allowed"}
"""Without the right to list versions there is no way back behind a broken bundle."""
_GONE = frozenset({"404 s3_object_not_found"})

FAULTS = (
    Fault(name="S3 throttled", behave=_always("503 Slow Down", "SlowDown"), by_key=_DOWN, cold=_DOWN),
    Fault(name="S3 failing", behave=_always("500 Internal Server Error", "InternalError"), by_key=_DOWN, cold=_DOWN),
    Fault(name="S3 slow", behave=_slow),
    Fault(name="S3 dripping", behave=_drip),
    Fault(name="S3 interrupted", behave=_interrupt, by_key=_DOWN, cold=_BROKEN_OFF),
    Fault(name="S3 stalled", behave=_stall, by_key=_DOWN, cold=_BROKEN_OFF),
    Fault(name="S3 unreachable", behave=_refuse, by_key=_DOWN, cold=_DOWN),
    Fault(name="S3 denied", behave=_always("403 Forbidden", "AccessDenied"), by_key=_GONE, cold=_NO_HISTORY),
    Fault(name="objects missing", behave=_objects_only("404 Not Found", "NoSuchKey"), by_key=_GONE, cold=_NO_LISTING),
    Fault(name="objects replaced", behave=_replace, cold=_DOWN),
    Fault(name="compiled forms denied", behave=_compiled_denied, cold=LOADING),
    Fault(name="bucket gone", behave=_always("404 Not Found", "NoSuchBucket"), by_key=_DOWN, cold=_DOWN),
)
