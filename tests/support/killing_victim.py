"""What a process does that gets killed. Imported by the fork server, so that boto3 is ready in each of its children."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import boto3

from lifecycle import promote, rollback
from lifecycle.command import main
from lifecycle.place import Place
from tests.conftest import PLACE_PREFIX
from tests.support.stand_ins import publish

if TYPE_CHECKING:
    from collections.abc import Sequence

_SESSION = boto3.session.Session("test", "test", region_name="us-east-1")
_SESSION.client("s3")  # reads the service's description, which is most of what a client costs
VERBS = (promote.NAME, rollback.NAME)
"""Imported here, too, before there is anybody to kill."""


def work(bucket: str, endpoint: str, asked: int | Sequence[str]) -> None:
    """Publish the stand-in of a number, or run a command."""
    own = {"AWS_ENDPOINT_URL": endpoint, "MODEL_BUCKET": bucket, "SWAP_SETTLE_SECONDS": "0"}
    os.environ.update(own | {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"})
    boto3.session.Session = lambda: _SESSION
    if isinstance(asked, int):
        publish(Place(bucket, PLACE_PREFIX, _SESSION.client("s3")), asked)
    else:
        raise SystemExit(main(asked))
