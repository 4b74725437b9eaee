"""What ends a verb early. Each class has the exit code that scripts can tell it by.

ModelsError           1 the model was refused, or a check failed
├── UsageError        2 the command line asks for something that can't be
├── PlaceError        3 S3, or what lies there, doesn't allow it
└── ConflictError     4 somebody else published meanwhile; nothing was changed
"""

from __future__ import annotations

from typing import ClassVar


class ModelsError(Exception):
    """The model was refused, or a check failed; the text says why."""

    exit_code: ClassVar[int] = 1


class UsageError(ModelsError):
    """The command line names something that isn't there, or options that don't go together."""

    exit_code = 2


class PlaceError(ModelsError):
    """S3 refused, or what lies under the prefix is not what the verb needs."""

    exit_code = 3


class ConflictError(ModelsError):
    """published.json changed between the moment this verb began and the moment it wanted to write."""

    exit_code = 4
