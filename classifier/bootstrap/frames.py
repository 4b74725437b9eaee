"""Where a pack's frames are read from: the pack's file itself, or its object in S3, by ranges."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from classifier.bootstrap.archive import PackError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from classifier.bootstrap.archive import Archive, Frame
    from classifier.s3.storage import S3

TRANSFER_S = 120.0
"""The whole transfer's limit, where 2 s are usual."""

CONNECTIONS = 4
"""At least: one connection to S3 brings 80 to 90 MB/s, and a function of 10 GB has 3 Gbit/s, which is four of them."""


class Packed(Protocol):
    """A frame's bytes as they are stored, from its first on; empty when there are no more."""

    def read(self, size: int, /) -> bytes: ...


class Frames(Protocol):
    """A source of frames, for several threads at once."""

    least_workers: int

    def opened(self, frame: Frame) -> AbstractContextManager[Packed]:
        """The frame's bytes. Raises PackError; StorageUnavailableError, also while reading, if it is worth a retry."""
        ...


class FramesOfFile:
    """The frames that follow the index in the pack's own file."""

    least_workers = 1

    def __init__(self, archive: Archive) -> None:
        self._path = archive.path

    @contextmanager
    def opened(self, frame: Frame) -> Iterator[Packed]:
        """The frame, from the page cache where it is there already."""
        with self._path.open("rb", buffering=0) as stream:
            yield _Stretch(stream.fileno(), frame.start, frame.packed)


class _Stretch:
    """`left` bytes of a file, from `at` on."""

    def __init__(self, descriptor: int, at: int, left: int) -> None:
        self._descriptor, self._at, self._left = descriptor, at, left

    def read(self, size: int, /) -> bytes:
        data = os.pread(self._descriptor, min(size, self._left), self._at)
        self._at += len(data)
        self._left -= len(data)
        return data


class FramesOfObject:
    """The frames in `s3://<bucket>/<prefix><digest>`, where deploying has put the whole pack."""

    least_workers = CONNECTIONS

    def __init__(self, archive: Archive, s3: S3, bucket: str, prefix: str) -> None:
        self._s3, self._bucket, self._key = s3, bucket, prefix + archive.digest
        self._deadline = time.monotonic() + TRANSFER_S

    @contextmanager
    def opened(self, frame: Frame) -> Iterator[Packed]:
        """The frame, while it arrives."""
        from classifier.s3.storage import ObjectChangedError, ObjectMissingError, ObjectUnreadableError

        where = f"TensorFlow's pack s3://{self._bucket}/{self._key}"
        try:
            with self._s3.stream(
                self._bucket, self._key, self._deadline, start=frame.start, size=frame.packed
            ) as packed:
                yield packed
        except ObjectMissingError as error:
            raise PackError(
                f"{where} is missing, or the role may not read it ({error}): `serverless deploy` puts it there"
            ) from error
        except ObjectUnreadableError as error:
            raise PackError(f"{where} can't be read: {error}") from error
        except ObjectChangedError as error:
            raise PackError(f"{where} is damaged: it ends before byte {frame.start + frame.packed}") from error
