"""The description of the API at `/openapi.json`: one file, as it lies in the package; tests hold it to the code."""

from __future__ import annotations

from pathlib import Path

from classifier.web.responses import JSON, Response


def openapi_response() -> Response:
    """The description (https://spec.openapis.org/oas/v3.1.0); its one server is wherever it was got from."""
    headers = {"content-type": JSON, "cache-control": "no-cache", "x-content-type-options": "nosniff"}
    return Response(200, headers, (Path(__file__).parent / "openapi.json").read_text(encoding="utf-8"))
