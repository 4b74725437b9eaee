"""All of AWS that a deployment needs on one loopback address: moto's server, checking templates as AWS does.

moto answers ValidateTemplate with cfn-lint's first finding, be it an error or a mere warning. AWS has no warnings, and
the framework's own templates raise some: that one action is answered here, with cfn-lint's errors only. And moto makes
nothing of a resource whose condition is false, but updates it all the same: that is left out, too.
"""

from __future__ import annotations

import io
import json
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from local.account import REGION
from local.s3 import LocalS3

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_NAMESPACE = "http://cloudformation.amazonaws.com/doc/2010-05-15/"
_VALID = (
    f'<ValidateTemplateResponse xmlns="{_NAMESPACE}"><ValidateTemplateResult><Capabilities/><Parameters/>'
    "</ValidateTemplateResult></ValidateTemplateResponse>"
)
_INVALID = (
    f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>Sender</Type><Code>ValidationError</Code>'
    "<Message>{}</Message></Error></ErrorResponse>"
)


_linting = Lock()
"""cfn-lint keeps what it reads of a template in its modules: two at once find errors that are not there."""


class LocalAws(LocalS3):
    """A server of every AWS service that moto knows; its S3 is watched as LocalS3's is."""

    def start(self) -> None:
        """Serve from a thread, as LocalS3 does."""
        _update_no_absent_resource()
        super().start()

    def _watch(self, app: WSGIApplication) -> WSGIApplication:
        watched = super()._watch(app)

        def shim(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            form = _form(environ)
            if form.get("Action") != "ValidateTemplate":
                return watched(environ, start_response)
            found = errors_in(self._template(form))
            body = (_INVALID.format(escape(found[0])) if found else _VALID).encode()
            headers = [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))]
            start_response("400 Bad Request" if found else "200 OK", headers)
            return [body]

        return shim

    def _template(self, form: dict[str, str]) -> str:
        if "TemplateBody" in form:
            return form["TemplateBody"]
        bucket, _, key = urlsplit(form["TemplateURL"]).path.lstrip("/").partition("/")
        body: bytes = self.client().get_object(Bucket=bucket, Key=key)["Body"].read()
        return body.decode()


@cache
def _update_no_absent_resource() -> None:
    """Let moto's updates of a stack pass over what a false condition leaves out, as its creation of one does."""
    from moto.cloudformation import parsing

    update = parsing.parse_and_update_resource

    def update_if_there(name: str, resource: dict[str, Any], resources: Any, *args: Any, **named: Any) -> Any:  # noqa: ANN401
        condition = resource.get("Condition")
        absent = condition and not resources.lazy_condition_map[condition]
        return None if absent else update(name, resource, resources, *args, **named)

    parsing.parse_and_update_resource = update_if_there  # type: ignore[assignment]


def errors_in(template: str) -> list[str]:
    """What cfn-lint calls an error in a template in JSON; warnings and advice are left out."""
    from cfnlint.api import lint  # type: ignore[import-untyped]
    from cfnlint.core import get_rules  # type: ignore[import-untyped]

    text = json.dumps(json.loads(template), indent=1)  # in lines, so that a finding can be placed
    with _linting:
        return [
            f"{match.rule.id} {match.message} at {'/'.join(map(str, getattr(match, 'path', None) or []))}"
            for match in lint(text, get_rules([], [], []), [REGION])
            if match.rule.id.startswith("E")
        ]


def _form(environ: WSGIEnvironment) -> dict[str, str]:
    """The form that the request carries, which is put back for whoever reads it next; {} for anything else."""
    if environ["REQUEST_METHOD"] != "POST" or "urlencoded" not in environ.get("CONTENT_TYPE", ""):
        return {}
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
