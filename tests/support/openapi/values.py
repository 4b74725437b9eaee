"""Requests that mean something to the service, for schemathesis: what it makes up alone is nearly always refused.

Loaded by its command line (tests/classifier/web/test_openapi_live.py), which says in the environment what there is.
"""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any

import schemathesis
from hypothesis import strategies as st

if TYPE_CHECKING:
    from schemathesis import HookContext

THERE = json.loads(os.environ["API_VALUES"])
ENCODED = st.sampled_from([*THERE["pictures"], "no base64!"])
PICTURES = st.sampled_from([*map(base64.b64decode, THERE["pictures"]), b"text"])
LINKS, KEYS, NAMES = (st.sampled_from(THERE[what]) for what in ("links", "keys", "names"))
TOP = {"top": st.sampled_from([1, 2, 10_000]), "explain": st.sampled_from(["true", "zwei", "no label"])}
BY_REFERENCE = st.one_of(
    st.fixed_dictionaries({"imagelink": LINKS}, optional=TOP), st.fixed_dictionaries({"s3key": KEYS}, optional=TOP)
)
ONE = st.one_of(BY_REFERENCE, st.fixed_dictionaries({"image": ENCODED}, optional=TOP))
SEVERAL = st.fixed_dictionaries({"images": st.lists(ONE, min_size=1, max_size=3)}, optional=TOP)
ROWS = st.one_of(st.lists(st.just(THERE["row"]), max_size=2), st.lists(st.builds(lambda text: {"b64": text}, ENCODED)))
PATH = {"name": NAMES, "version": st.sampled_from([*THERE["versions"], 1]), "label": st.sampled_from(["stable", "new"])}
QUERIES = {
    "/classify": st.builds(
        lambda one, rest: one | rest, BY_REFERENCE, st.fixed_dictionaries({}, optional={"model": NAMES})
    ),
    "/model": st.fixed_dictionaries({"model": NAMES}),
}
BODIES = {
    "classify": st.one_of(ONE, SEVERAL),
    "/feedback": st.fixed_dictionaries(
        {
            "request_id": st.sampled_from([THERE["kept"], "never-kept"]),
            "label": st.sampled_from(["eins", "vier", "none of these"]),
        }
    ),
    ":predict": st.one_of(
        st.builds(lambda rows: {"instances": rows}, ROWS), st.builds(lambda rows: {"inputs": rows}, ROWS)
    ),
    ":classify": st.builds(lambda rows: {"examples": [{"image": row} for row in rows]}, ROWS),
}

schemathesis.openapi.format("uri", LINKS)
for kind in ("image/png", "image/jpeg", "application/octet-stream"):
    schemathesis.openapi.media_type(kind, PICTURES)


@schemathesis.hook
def flatmap_path_parameters(_: HookContext, given: dict[str, Any] | None) -> st.SearchStrategy[Any]:
    """Names, versions and labels that are there."""
    return (
        st.none()
        if given is None
        else st.one_of(st.fixed_dictionaries({name: PATH[name] for name in given}), st.just(given))
    )


@schemathesis.hook
def flatmap_query(context: HookContext, given: dict[str, Any] | None) -> st.SearchStrategy[Any]:
    """Links and keys that lead somewhere; none for a request with a body, whose picture would be one too many."""
    operation = context.operation
    known = QUERIES.get(operation.path) if operation is not None and operation.method == "get" else st.just({})
    return st.just(given) if known is None else st.one_of(known, st.just(given))


@schemathesis.hook
def flatmap_body(context: HookContext, given: Any) -> st.SearchStrategy[Any]:
    """Documents and forms as clients send them."""
    path = context.operation.path if context.operation is not None else ""
    known = next((BODIES[end] for end in reversed(BODIES) if path.endswith(end)), None)
    return st.just(given) if known is None or not isinstance(given, dict) else st.one_of(known, st.just(given))
