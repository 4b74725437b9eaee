"""What S3 requests are signed with: Lambda's own credentials, or those of another source, kept and renewed in time."""

from __future__ import annotations

import os
import threading
import time
from copy import replace
from typing import TYPE_CHECKING

from classifier import logs
from classifier.s3.http import BrokenReplyError
from classifier.s3.sigv4 import Credentials, Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["KeptCredentials", "environment_credentials"]

AGAIN_S = 15.0
"""How long credentials that are still valid are used after they could not be renewed."""


class KeptCredentials:
    """A source's credentials until they are due; one thread renews them while the others wait for it."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._lock = threading.Lock()
        self._kept: Kept | None = None
        self._source: Callable[[], Kept] | None = None

    def __call__(self) -> Credentials:
        """Valid credentials; PermissionError when there are none."""
        access, secret = self._environ.get("AWS_ACCESS_KEY_ID"), self._environ.get("AWS_SECRET_ACCESS_KEY")
        if access and secret:
            return Credentials(access, secret, self._environ.get("AWS_SESSION_TOKEN"))
        kept = self._kept
        if kept is None or kept.due <= time.time():
            with self._lock:
                if self._kept is kept:  # nobody else was faster
                    self._kept = self._renewed(kept)
                kept = self._kept
        return kept.credentials if kept else self()

    def renew(self, refused: Credentials) -> bool:
        """Whether there are others than `refused`, which S3 called expired before their time."""
        with self._lock:
            if self._kept and self._kept.credentials == refused:
                self._kept = None
        return self() != refused

    def _renewed(self, kept: Kept | None) -> Kept:
        try:
            if self._source is None:
                from classifier.s3.credential_sources import source_of

                self._source = source_of(self._environ)
            return self._source()
        except (OSError, BrokenReplyError) as error:
            if kept is None or kept.expires <= time.time():
                raise
            logs.emit("warning", "credentials not renewed", error=error)
            return replace(kept, due=time.time() + AGAIN_S)


environment_credentials = KeptCredentials()
"""Those of this process."""
