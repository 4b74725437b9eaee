"""What LiteRT's C API says of a call that failed; read then only."""

from __future__ import annotations

STATUSES = {
    1: "invalid argument",
    2: "memory allocation failure",
    3: "runtime failure",
    4: "missing input tensor",
    5: "unsupported",
    6: "not found",
    7: "timeout expired",
    8: "wrong version",
    9: "unknown error",
    10: "already exists",
    100: "cancelled",
    500: "file I/O error",
    501: "invalid flatbuffer",
    502: "dynamic loading error",
    503: "serialization error",
    504: "compilation error",
    1000: "index out of bounds",
    1001: "invalid type",
    1002: "invalid graph",
    1003: "graph modification error",
    4000: "unsupported runtime version",
    4001: "unsupported compiler version",
    4002: "incompatible byte code version",
    5000: "shape inference not supported",
    5001: "shape inference failed",
}
"""`LiteRtStatus` of litert_common.h, as far as running a model can meet it."""
