"""What a model under a shared prefix may be called: its name is a folder there."""

from __future__ import annotations

import re

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
RESERVED = ("compiled", "probes")
"""Folders of the model that lies under the prefix itself."""


def is_name(text: str) -> bool:
    """Whether a model may be called that: a name is one folder, never a path."""
    return NAME.fullmatch(text) is not None and text not in RESERVED
