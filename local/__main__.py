"""Serve a model bundle on this machine, as Lambda would: `npm start -- --model DIR --port N`."""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import TYPE_CHECKING
from urllib.parse import quote

from classifier.errors import UnavailableError
from local import supply
from local.cloud import Config, InvocationError, LocalLambda
from local.framework import TemplateError
from local.launch import PROJECT, Code, credentials
from local.narration import sentence
from local.options import FRONTS, here, read
from local.pool import ThrottledError
from local.seed import SeedError, compiled_form, is_bundle, read_bundle, seed_bundle, seed_compiled, seed_samples
from local.strict.limits import StrictError
from local.template import Template, read_template

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

COMPILE = "handler.compile_model"
EXAMPLES = "examples/"
ANSWER_S = 60
BUSY_S = 0.5
UNSEEN_S = 40
"""How long a function may go on saying that there is no model: it looks again each 30 s at most."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C or SIGTERM; 1 with one sentence when it can't."""
    options, publishing = read(argv, __doc__)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with TemporaryDirectory(prefix="bundle-") as folder:
            _make_bundle(options, publishing, Path(folder) / "bundle")
            serve(options)
    except KeyboardInterrupt:
        return 0
    except (SeedError, TemplateError, StrictError, supply.SupplyError) as error:
        if str(error):
            print(error, file=sys.stderr)
    except OSError as error:
        print(_sentence(error, options), file=sys.stderr)
    return 1


def _make_bundle(options: argparse.Namespace, publishing: Sequence[str], folder: Path) -> None:
    """Make a bundle of a model in any other form that `publish` takes, by `publish` itself; SeedError if it refuses."""
    options.source = options.bundle
    if is_bundle(options.bundle) and not publishing:
        return
    if not options.bundle.exists():
        raise SeedError(f"There is no bundle at {options.bundle}: no such folder.")
    supply.install(f"{options.bundle.name} is made into a bundle.")
    if options.samples is None and (options.bundle / "samples").is_dir():
        options.samples = options.bundle / "samples"
    command = [sys.executable, "-m", "lifecycle.bundling", folder, options.bundle.resolve(), *publishing]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    if subprocess.run(list(map(str, command)), cwd=here("."), env=environment, check=False).returncode:
        raise SeedError  # it has said why
    options.bundle = folder


def serve(options: argparse.Namespace) -> None:
    """Start everything, have a first request answered, say where it is, and wait."""
    print("Starting S3 and the function ...", flush=True)
    files = read_bundle(options.bundle)
    samples = options.samples or options.bundle / "samples"
    if options.samples and not samples.is_dir():
        raise SeedError(f"There are no pictures at {samples}: no such folder.")
    template = read_template(options.stage)
    config = _config(options, template)
    is_compiled = compiled_form(options.bundle, files) is not None
    if not options.package and (not is_compiled or options.engine == "tensorflow"):
        supply.install("This model has no compiled form yet." if not is_compiled else "You asked for TensorFlow.")
    with LocalLambda(config) as cloud:
        variables = config.functions[0].environment
        s3, bucket, prefix = cloud.s3, variables["MODEL_BUCKET"], variables["MODEL_PREFIX"]
        for name in template.buckets.values():
            s3.create_bucket(name)
        client = s3.client()
        # A model that is compiled needs no compile function, which would start beside the one that answers.
        with s3.unheard() if is_compiled else nullcontext():
            seed_compiled(client, bucket, prefix, options.bundle)
            version = seed_bundle(client, bucket, prefix, files, source=options.source.resolve().name)
            pictures = variables["IMAGE_BUCKET"], variables["IMAGE_PREFIX"]
            keys = seed_samples(client, *pictures, samples) if samples.is_dir() else []
        if keys and (examples := variables["EXAMPLES_PREFIX"]):
            seed_samples(client, variables["IMAGE_BUCKET"], examples, samples)
        if not is_compiled:
            _compile(cloud, config)
        print("Loading the model ...", flush=True)
        _answer(cloud.url, keys)
        print(_told(s3.endpoint, f"s3://{bucket}/{prefix}", options.source, version))
        print(_ready(cloud.url, keys), flush=True)
        Event().wait()


def _config(options: argparse.Namespace, template: Template) -> Config:
    extra = {"EXAMPLES_PREFIX": EXAMPLES, **dict(options.set)} | ({"ENGINE": options.engine} if options.engine else {})
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
        supply=None if options.package else _supply,
        log=_print if options.json_logs else _narrate,
    )


def _print(line: str) -> None:
    print(line, flush=True)


def _narrate(line: str) -> None:
    if said := sentence(line):
        print(said, flush=True)


def _supply(error: str) -> bool:
    """Whether a function's event is worth another try, because what it lacked is there now."""
    if supply.MISSING not in error:
        return False
    supply.install("A model has to be compiled.")
    return True


def _compile(cloud: LocalLambda, config: Config) -> None:
    """Compile before anybody asks: TensorFlow is then imported once, not by two functions on two cores.

    What can't be compiled is served by TensorFlow, or says why when it is asked.
    """
    for compiling in [one.name for one in config.functions if one.handler == COMPILE]:
        while True:
            try:
                cloud.invoke({}, function=compiling)
            except InvocationError as error:
                print(f"Compiling failed: {error}", flush=True)
            except ThrottledError:  # S3's own event is being worked on
                time.sleep(BUSY_S)
                continue
            break


def _answer(url: str, keys: list[str]) -> None:
    """Have the model loaded and a sample classified, so that "Ready" is true; SeedError if no model can be served."""
    until = time.monotonic() + UNSEEN_S
    while (refused := _refusal(f"{url}/model")) == UnavailableError.text and time.monotonic() < until:
        time.sleep(BUSY_S)  # somebody asked before the model was there, and the function looks again in a while
    if refused:
        raise SeedError(f"{refused} The log above says more.")
    if keys and (refused := _refusal(f"{url}/classify?s3key={quote(keys[0])}")):
        print(f"The sample {keys[0]} can't be classified: {refused}", flush=True)


def _refusal(url: str) -> str:
    """What the caller of `url` is told instead of an answer; empty when there is one."""
    try:
        urllib.request.urlopen(url, timeout=ANSWER_S).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        answer = json.loads(error.read())
        if "error" not in answer:
            return f"The function does not start: it answers {error.code}."
        return str(answer["error"]["message"])
    return ""


def _told(endpoint: str, destination: str, bundle: Path, version: str) -> str:
    keys = " ".join(f"{name}={value}" for name, value in credentials().items())
    return (
        f"\nServing {bundle} as version {version}.\n"
        f"S3 is at {endpoint}. To put another model in its place, while this runs:\n"
        f"  {keys} AWS_ENDPOINT_URL_S3={endpoint} \\\n"
        f"    scripts/models publish MODEL --to {destination.rstrip('/')} --labels FILE --trained-with CALL\n"
        "Ctrl-C stops everything.\n"
    )


def _ready(url: str, keys: list[str]) -> str:
    if not keys:
        return f"Ready: {url}  Try: curl -F file=@picture.jpg {url}/classify"
    return f"Ready: {url}  Try: curl {shlex.quote(f'{url}/classify?s3key={quote(keys[0])}')}"


def _sentence(error: OSError, options: argparse.Namespace) -> str:
    for name, port in (("--port", options.port), ("--s3-port", options.s3_port)):
        if error.errno == errno.EADDRINUSE and port and _is_taken(port):
            return f"Port {port} is in use. Choose another: npm start -- {name} {port + 1}"
        if error.errno == errno.EACCES and 0 < port < 1024:
            return f"Port {port} may not be opened by you. Choose one above 1023 with {name}."
    if error.errno == errno.ENOSPC:
        return "The disk is full."
    return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"


def _is_taken(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return True
    return False


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
