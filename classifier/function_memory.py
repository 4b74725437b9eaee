"""How much memory the function has left. Running out would end the whole sandbox, not one request."""

from __future__ import annotations

_RESERVE = 64 << 20
_PAGE = 4096


def left(function_bytes: int) -> int | None:
    """Return the bytes still free of `function_bytes` after this process and a reserve; None if that is 0."""
    if not function_bytes:
        return None
    return max(0, function_bytes - resident() - _RESERVE)


def resident() -> int:
    """The bytes of memory that this process holds; 0 where the system has no /proc."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  (importing pathlib costs more)
            return int(file.read().split()[1]) * _PAGE
    except FileNotFoundError:
        return 0


def give_back() -> None:
    """Return freed memory to the system: only that counts against the function's limit."""
    import ctypes
    import gc

    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's, which Lambda has
    if trim is not None:
        trim(0)
