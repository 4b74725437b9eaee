"""Decoding in a process of its own, with limits that the kernel enforces: time, memory, no writing, no core dump.

For pictures whose cost can't be bounded from the header. A decoder that hangs, crashes or swells costs one request.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from classifier import errors, function_memory
from classifier.errors import ImageComplexityError, ImageError, ImageTimeoutError, OutOfTimeError
from classifier.records import as_dict

if TYPE_CHECKING:
    from classifier.pictures.headers.picture import ImageLimits, Picture
    from classifier.pictures.preprocessing import Preprocessing
    from classifier.pictures.render import DecodedImage

MEMORY_BYTES = 768_000_000
"""Address space of the process. The largest picture of the default formats takes 490 MB, interpreter included."""
CLOCK_FACTOR = 2
"""The time limit counts CPU time; by the clock decoding may take this many times as long, when others keep the CPU."""
_START = "import sys,json;sys.path[:]=json.loads(sys.argv[1]);from classifier.pictures.apart import main;main()"
_TOLD = {"ImageError", "ImageFormatError", "ImageDimensionsError", "ImageComplexityError"}


def decode_apart(
    picture: Picture, spec: Preprocessing, limits: ImageLimits, deadline: float | None = None
) -> DecodedImage:
    """Decode in a new process and return what `render.render` returned there, or raise the error that it raised.

    Starting the process takes about 0.2 s. Raises ImageTimeoutError after `decode_timeout_s` of CPU time, and
    OutOfTimeError when the request's own `deadline` (time.monotonic()) comes before.
    """
    import signal
    import subprocess  # here, because the new process imports this module too and needs no subprocess

    from classifier.pictures.render import DecodedImage

    by_clock_s = limits.decode_timeout_s * CLOCK_FACTOR
    left_s = by_clock_s if deadline is None else max(0.0, deadline - time.monotonic())
    command = [sys.executable, "-I", "-S", "-c", _START, json.dumps(sys.path)]
    try:
        # Next to no environment: whatever a decoder could be made to do, it finds no credentials there.
        done = subprocess.run(  # noqa: S603  (our own interpreter and text)
            command,
            input=_request(picture, spec, limits),
            capture_output=True,
            timeout=min(by_clock_s, left_s),
            env=_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        if left_s < by_clock_s:
            raise OutOfTimeError(f"{picture} was not decoded in the {left_s:.1f} s that were left") from error
        raise ImageTimeoutError(f"{picture} was not decoded in {error.timeout} s") from error
    if done.returncode == -signal.SIGXCPU:
        raise ImageTimeoutError(f"{picture} was not decoded in {limits.decode_timeout_s} s of CPU time")
    if done.returncode != 0:
        raise ImageError(f"{picture}: the decoder ended with {done.returncode}: {done.stderr[-500:]!r}")
    head, _, pixels = done.stdout.partition(b"\n")
    reply = json.loads(head)
    if "error" in reply:
        raise getattr(errors, reply["error"])(reply["detail"], public=reply["public"])
    return DecodedImage(pixels, picture.format, reply["width"], reply["height"])


def _environment() -> dict[str, str]:
    import os

    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {**kept, "MALLOC_ARENA_MAX": "1"}  # a decoder's threads would each reserve 64 MB of address space


def _request(picture: Picture, spec: Preprocessing, limits: ImageLimits) -> bytes:
    described = {name: value for name, value in as_dict(picture).items() if name != "data"}
    left = function_memory.left(limits.function_memory_bytes)
    memory = MEMORY_BYTES if left is None else min(MEMORY_BYTES, left)
    head = {"picture": described, "spec": as_dict(spec), "limits": as_dict(limits), "memory": memory}
    return json.dumps(head).encode() + b"\n" + picture.data


def main() -> None:
    """Read one request from standard input, decode, write one reply to standard output."""
    head, _, data = sys.stdin.buffer.read().partition(b"\n")
    request = json.loads(head)
    _limit(request["limits"]["decode_timeout_s"], request["memory"])
    sys.stdout.buffer.write(_reply(request, data))


def _limit(seconds: float, memory: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    whole = max(1, int(seconds))
    resource.setrlimit(resource.RLIMIT_CPU, (whole, whole + 1))


def _unchangeable(value: Any) -> Any:  # noqa: ANN401  (whatever a field holds)
    return tuple(value) if isinstance(value, list) else value


def _reply(request: dict[str, Any], data: bytes) -> bytes:
    from classifier.pictures.headers.picture import ImageLimits, Picture
    from classifier.pictures.preprocessing import Preprocessing
    from classifier.pictures.render import render

    picture = Picture(**request["picture"], data=data)
    spec = Preprocessing(**{name: _unchangeable(value) for name, value in request["spec"].items()})
    try:
        done = render(picture, spec, ImageLimits(**request["limits"]))
    except ImageError as error:
        kind = type(error).__name__
        reply = {"error": kind if kind in _TOLD else "ImageError", "detail": str(error), "public": error.public}
        return json.dumps(reply).encode()
    except MemoryError:
        name = ImageComplexityError.__name__
        return json.dumps({"error": name, "detail": "out of memory", "public": ImageComplexityError.text}).encode()
    return json.dumps({"width": done.width, "height": done.height}).encode() + b"\n" + done.pixels
