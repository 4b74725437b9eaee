"""An Application Load Balancer's target group.

Source: docs.aws.amazon.com, "Use Lambda functions as targets of an Application Load Balancer".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from local.account import ACCOUNT, REGION
from local.fronts.http import BadReplyError, HttpReply, HttpRequest, headers_of, html_page, reply_parts


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """An Application Load Balancer: 1 MB each way, and parameters as they came, still percent-encoded."""

    multi_value: bool = False
    max_body_bytes: int = 1024 * 1024
    timeout_s: float = 60.0

    def event(self, request: HttpRequest) -> dict[str, Any]:
        """Return a target group's event."""
        body, is_base64 = request.body_text()
        extra = {"x-forwarded-for": request.client, "x-forwarded-port": "80", "x-forwarded-proto": "http"}
        headers = {name.lower(): value for name, value in request.headers} | extra
        raw = [(part.partition("=")[0], part.partition("=")[2]) for part in request.query.split("&") if part]
        common = {
            "requestContext": {
                "elb": {"targetGroupArn": f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/local/0"}
            },
            "httpMethod": request.method,
            "path": request.path,
            "body": body,
            "isBase64Encoded": is_base64,
        }
        if not self.multi_value:
            return {**common, "headers": headers, "queryStringParameters": dict(raw)}
        names = dict.fromkeys(name for name, _ in raw)
        values = {name: [value for key, value in raw if key == name] for name in names}
        lists = {name: [v for key, v in request.headers if key.lower() == name] or [headers[name]] for name in headers}
        return {**common, "multiValueHeaders": lists, "multiValueQueryStringParameters": values}

    def reply(self, payload: object) -> HttpReply:
        """Pass the reply on."""
        known, status, raw = reply_parts(payload)
        if len(raw) > self.max_body_bytes:
            raise BadReplyError(f"{len(raw)} bytes are more than the load balancer passes on")
        headers = headers_of(known, "multiValueHeaders" if self.multi_value else "headers")
        return HttpReply(status, tuple(headers), raw)

    def failure(self, situation: str) -> HttpReply:
        """A page, as from a load balancer."""
        if situation == "too_large":
            return html_page(413, "Request Entity Too Large")
        return html_page(504, "Gateway Time-out") if situation == "timed_out" else html_page(502, "Bad Gateway")
