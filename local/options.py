"""The command line of `npm start`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from classifier.settings import Settings
from local.fronts import FunctionUrl, HttpApi, LoadBalancer, RestApi
from local.launch import PROJECT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.fronts import Front

DEMO = PROJECT / "examples" / "clothing"
FRONTS: dict[str, Front] = {"http": HttpApi(), "rest": RestApi(), "url": FunctionUrl(), "alb": LoadBalancer()}

PUBLISH = (
    *("--labels", "--preprocessing", "--size", "--trained-with", "--against", "--pixels", "--filter", "--resize"),
    *("--color", "--scores", "--top-k", "--serving", "--sample", "--input", "--output", "--quantize", "--yes"),
)
"""What goes on to `publish`: all of its options but those about a place in S3."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One sentence, and not the dozen lines of usage before it."""
        self.exit(2, f"{message[:1].upper()}{message[1:]}. All options: npm start -- --help\n")


def read(argv: Sequence[str] | None, description: str | None) -> tuple[argparse.Namespace, list[str]]:
    """The options, and what goes on to `publish`; ends the program where one is neither's."""
    own = parser(description)
    options, publishing = own.parse_known_args(argv)
    for name in (one.partition("=")[0] for one in publishing if one.startswith("--")):
        if name not in PUBLISH:
            own.error(f"no option {name}")
    return options, publishing


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return the command line."""
    also = f"Options of `scripts/models publish` are taken, too: {', '.join(PUBLISH)}"
    parser = _Parser(prog="npm start --", description=description, epilog=also, allow_abbrev=False)
    parser.add_argument(
        "--model",
        "--bundle",
        dest="bundle",
        type=here,
        default=DEMO,
        help="the model: a bundle's folder, or what `scripts/models publish` takes, with its options",
    )
    parser.add_argument("--samples", type=here, help="pictures for s3key (default: the bundle's folder samples)")
    parser.add_argument("--port", type=port, default=3000, help="port of the service (default 3000)")
    parser.add_argument("--s3-port", type=port, default=0, help="port of S3 (default: any)")
    parser.add_argument("--engine", choices=["auto", "tensorflow", "litert"], help="default: as serverless.yml says")
    parser.add_argument("--stage", default="dev", help="stage of serverless.yml (default dev)")
    parser.add_argument("--front", choices=FRONTS, default="http", help="front door: HTTP API, REST API, URL or ALB")
    parser.add_argument("--concurrency", type=int, default=10, help="most sandboxes at once (default 10)")
    parser.add_argument(
        "--set", action="append", default=[], type=setting, metavar="NAME=VALUE", help="a setting, for this run only"
    )
    parser.add_argument("--strict", action="store_true", help="enforce Lambda's limits: memory, CPU, folders, /tmp")
    parser.add_argument("--package", type=here, help="run an unpacked deployment package, not the source tree")
    parser.add_argument("--json-logs", action="store_true", help="print the log as Lambda has it, a JSON object a line")
    return parser


def here(text: str) -> Path:
    """A path as the caller meant it: npm changes into the project's folder, and INIT_CWD is where the caller stood."""
    return Path(os.environ.get("INIT_CWD", "."), text)


def port(text: str) -> int:
    """A TCP port, 0 for any free one."""
    if not text.isascii() or not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: expected 1 to 65535, or 0 for any")
    return int(text)


def setting(text: str) -> tuple[str, str]:
    """NAME=VALUE, NAME being a variable of the settings."""
    name, equals, value = text.partition("=")
    known = {variable.name for variable in Settings.variables().values()}
    if not equals or name not in known:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=VALUE, NAME as in docs/reference/settings.md")
    return name, value
