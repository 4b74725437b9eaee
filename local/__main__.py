"""Serve a model bundle on this machine, as Lambda would: `npm start -- --bundle DIR --port N`."""

from __future__ import annotations

import argparse
import errno
import json
import shlex
import signal
import sys
import urllib.error
import urllib.request
from dataclasses import fields, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING
from urllib.parse import quote

from classifier.settings import Settings
from local.cloud import Config, LocalLambda
from local.fronts import FunctionUrl, HttpApi, LoadBalancer, RestApi
from local.launch import PROJECT, Code, credentials
from local.seed import SeedError, read_bundle, seed_bundle, seed_compiled, seed_samples
from local.strict.limits import StrictError
from local.template import Template, TemplateError, read_template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.fronts import Front

FRONTS: dict[str, Front] = {"http": HttpApi(), "rest": RestApi(), "url": FunctionUrl(), "alb": LoadBalancer()}


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="npm start --", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=PROJECT / "examples" / "clothing", help="folder of the model")
    parser.add_argument("--samples", type=Path, help="pictures for s3key (default: the bundle's folder samples)")
    parser.add_argument("--port", type=int, default=3000, help="port of the service (default 3000)")
    parser.add_argument("--s3-port", type=int, default=0, help="port of S3 (default: any)")
    parser.add_argument("--engine", choices=["auto", "tensorflow", "litert"], help="default: as serverless.yml says")
    parser.add_argument("--stage", default="dev", help="stage of serverless.yml (default dev)")
    parser.add_argument("--front", choices=FRONTS, default="http", help="front door: HTTP API, REST API, URL or ALB")
    parser.add_argument("--concurrency", type=int, default=10, help="most sandboxes at once (default 10)")
    parser.add_argument(
        "--set", action="append", default=[], type=_setting, metavar="NAME=VALUE", help="a setting, for this run only"
    )
    parser.add_argument("--strict", action="store_true", help="enforce Lambda's limits: memory, CPU, folders, /tmp")
    parser.add_argument("--package", type=Path, help="run an unpacked deployment package, not the source tree")
    return parser


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    known = {field.metadata["variable"] for field in fields(Settings)}
    if not equals or name not in known:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=VALUE, NAME as in docs/reference/settings.md")
    return name, value


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM; 1 with one sentence when it can't."""
    options = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        serve(options)
    except KeyboardInterrupt:
        return 0
    except (SeedError, TemplateError, StrictError) as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(_sentence(error, options), file=sys.stderr)
    return 1


def serve(options: argparse.Namespace) -> None:
    """Start everything, say where it is, and wait."""
    files = read_bundle(options.bundle)
    samples = options.samples or options.bundle / "samples"
    if options.samples and not samples.is_dir():
        raise SeedError(f"There are no pictures at {samples}: no such folder.")
    template = read_template(options.stage)
    config = _config(options, template)
    with LocalLambda(config) as cloud:
        variables = config.functions[0].environment
        s3, bucket, prefix = cloud.s3, variables["MODEL_BUCKET"], variables["MODEL_PREFIX"]
        for name in template.buckets.values():
            s3.create_bucket(name)
        client = s3.client()
        seed_compiled(client, bucket, prefix, options.bundle)
        version = seed_bundle(client, bucket, prefix, files, source=options.bundle.resolve().name)
        pictures = variables["IMAGE_BUCKET"], variables["IMAGE_PREFIX"]
        keys = seed_samples(client, *pictures, samples) if samples.is_dir() else []
        _greet(cloud.url)
        print(_told(s3.endpoint, f"s3://{bucket}/{prefix}", options.bundle, version))
        print(_ready(cloud.url, keys), flush=True)
        Event().wait()


def _config(options: argparse.Namespace, template: Template) -> Config:
    extra = dict(options.set) | ({"ENGINE": options.engine} if options.engine else {})
    functions = tuple(replace(one, environment={**one.environment, **extra}) for one in template.functions)
    if options.package and not options.package.is_dir():
        raise SeedError(f"There is no package at {options.package}: no such folder.")
    code = Code(root=options.package.resolve(), isolated=True) if options.package else Code()
    return Config(
        functions=functions,
        code=code,
        front=FRONTS[options.front],
        port=options.port,
        s3_port=options.s3_port,
        concurrency=options.concurrency,
        strict=options.strict,
        log=lambda line: print(line, flush=True),
    )


def _greet(url: str) -> None:
    """Load the model, so that what is wrong with it is news now and the first caller need not wait."""
    try:
        urllib.request.urlopen(f"{url}/model", timeout=40).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        answer = json.loads(error.read())
        if "error" not in answer:
            raise SeedError(f"The function does not start: it answers {error.code}. The log above says why.") from error
        print(answer["error"]["message"], "The log above says more.")


def _told(endpoint: str, destination: str, bundle: Path, version: str) -> str:
    keys = " ".join(f"{name}={value}" for name, value in credentials().items())
    return (
        f"\nServing {bundle} as version {version}.\n"
        f"S3 is at {endpoint}. To put another model in its place, while this runs:\n"
        f"  {keys} aws --endpoint-url {endpoint} s3 cp --recursive DIR {destination}\n"
        "Ctrl-C stops everything.\n"
    )


def _ready(url: str, keys: list[str]) -> str:
    if not keys:
        return f"Ready: {url}  Try: curl -F file=@picture.jpg {url}/classify"
    return f"Ready: {url}  Try: curl {shlex.quote(f'{url}/classify?s3key={quote(keys[0])}')}"


def _sentence(error: OSError, options: argparse.Namespace) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {options.port} is in use. Choose another: npm start -- --port {options.port + 1}"
    if error.errno == errno.EACCES:
        return f"Port {options.port} may not be opened by you. Choose one above 1023 with --port."
    if error.errno == errno.ENOSPC:
        return "The disk is full."
    return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
