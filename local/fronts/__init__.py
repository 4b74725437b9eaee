"""The front doors of a function, each with its own event and reply: HTTP API, REST API, Function URL and ALB."""

from local.fronts.http import BadReplyError, Front, HttpReply, HttpRequest, read_reply
from local.fronts.http_api import FunctionUrl, HttpApi
from local.fronts.load_balancer import LoadBalancer
from local.fronts.rest_api import RestApi

__all__ = [
    "BadReplyError",
    "Front",
    "FunctionUrl",
    "HttpApi",
    "HttpReply",
    "HttpRequest",
    "LoadBalancer",
    "RestApi",
    "read_reply",
]
