"""How much memory the function has left. Running out would end the whole sandbox, not one request."""

from __future__ import annotations

_RESERVE = 64 << 20
_PAGE = 4096


def left(function_bytes: int) -> int | None:
    """Return the bytes still free of `function_bytes` after this process and a reserve; None if that is 0."""
    if not function_bytes:
        return None
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  (importing pathlib costs more)
        used = int(file.read().split()[1]) * _PAGE
    return max(0, function_bytes - used - _RESERVE)
