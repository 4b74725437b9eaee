"""A deployment's code in the local Lambda: it classifies by each engine, is deployed again, and removed."""

from __future__ import annotations

import io
import shutil
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from local.cloud import Config, LocalLambda
from local.deployment import Deployment, expect, inventory
from local.emulator import arm64_code
from local.launch import PROJECT, Code
from local.seed import read_bundle, seed_bundle
from tools.benchmarks.sandboxes import SAMPLE, body_of, no_init_limit, upload_event
from tools.deploying.steps import empty, given, step

if TYPE_CHECKING:
    import argparse

    from local.aws import LocalAws
    from local.function import Function

BUNDLE = PROJECT / "examples" / "clothing"
TOLERANCE = 1e-4


def check(aws: LocalAws, options: argparse.Namespace) -> None:
    """Deploy, classify, deploy again and remove, as the options of scripts/deploy_check say."""
    before, deployment = inventory(aws), Deployment(aws, options.stage)
    packaged = ["--package", str(options.package)] if options.package else []
    with step("serverless deploy"):
        deployment.deploy(*packaged, *given(options.param))
    with tempfile.TemporaryDirectory() as folder:
        kept = shutil.copytree(options.package or PROJECT / ".serverless", Path(folder, "package"))
        with step("take the functions back out of the stack"):
            functions = []
            for name in ("classify", "compile"):
                archive, one = deployment.function(name)
                print(f"  {one.name}: {one.handler}, {one.memory_mb} MB, {one.timeout_s} s, {len(archive):,} bytes")
                with zipfile.ZipFile(io.BytesIO(archive)) as package:
                    package.extractall(Path(folder, name))
                functions.append(one)
        _classify(aws, Path(folder), functions, options)
        # At last: without a change the framework deletes what it uploaded, which of one package is the first's, too.
        with step("deploy again: TensorFlow's pack stays as it is"):
            _packs_stay(deployment, "--package", str(kept), *given(options.param))
    with step("serverless remove"):
        empty(aws, deployment.bucket("ModelBucket"), deployment.bucket("ImageBucket"))
        deployment.remove()
        expect(inventory(aws) == before, f"`serverless remove` left {sorted(inventory(aws) - before)}")


def _packs_stay(deployment: Deployment, *given: str) -> None:
    """TensorFlow's packs are those of the first deployment after another one, untouched.

    No third one: moto can't delete a change set that is not there, as the framework then asks it to.
    """
    packs = deployment.packs()
    sizes = ", ".join(f"{size:,} bytes" for size, _ in packs.values())
    print(f"  packs: {sizes or 'none, TensorFlow is in the package'}")
    deployment.deploy(*given)
    expect(deployment.packs() == packs, f"deployed again, the packs are {deployment.packs()}, not {packs}")


def _classify(aws: LocalAws, packages: Path, functions: list[Function], options: argparse.Namespace) -> None:
    """Ask fresh sandboxes of nothing but the package, by each engine, and compare what they say."""
    classify, compiler = functions
    place = classify.environment["MODEL_BUCKET"], classify.environment["MODEL_PREFIX"]
    aws.create_bucket(place[0])  # it is there; moto overlooks the template's VersioningConfiguration
    version = seed_bundle(aws.client(), *place, read_bundle(options.bundle or BUNDLE), source="deploy_check")
    event, scores = upload_event((options.picture or SAMPLE).read_bytes()), {}
    config = Config(functions=(classify, compiler), code=Code(root=packages / "classify", isolated=True))
    engines = options.engine or ["tensorflow", "litert"]
    if "architecture=arm64" in options.param:
        compiling = Config(functions=(compiler,), code=Code(root=packages / "compile", isolated=True))
        with no_init_limit(), LocalLambda(compiling, aws) as cloud, step("compile the model, on x86_64"):
            _expect_compiled(cloud.invoke({}, function=compiler.name))
        config, engines = Config(functions=(classify,), code=arm64_code(packages / "classify")), ["emulated"]
    with no_init_limit(), LocalLambda(config, aws) as cloud:
        for engine in engines:
            if engine == "litert":
                with step("compile the model with the deployed compile function"):
                    _expect_compiled(cloud.invoke({}, function=compiler.name))
            cloud.stop_sandboxes()
            with step(f"classify with {engine}"):
                reply = body_of(_until_loaded(cloud, event))
                expected = "litert" if engine == "emulated" else engine
                expect(reply["model"]["engine"] == expected, f"{engine} should have answered: {reply}")
                expect(reply["model"]["version"] == version, f"{version} should have answered: {reply}")
            scores[engine] = {each["label"]: each["score"] for each in reply["predictions"]}
            print(f"  {reply['predictions'][0]}, {cloud.reports[-1]}")
    for label, score in scores.get("litert", {}).items():
        apart = abs(score - scores.get("tensorflow", scores["litert"]).get(label, score))
        expect(apart < TOLERANCE, f"the engines' scores for {label} are {apart} apart")


def _until_loaded(cloud: LocalLambda, event: dict[str, Any]) -> dict[str, Any]:
    """A reply with status 200; a slow machine may say "loading" first, as API Gateway would not wait for it."""
    for _ in range(10):
        reply = cast("dict[str, Any]", cloud.invoke(event))
        if reply["statusCode"] != 503:
            break
        time.sleep(1)
    expect(reply["statusCode"] == 200, "\n".join([str(reply), *cloud.log[-20:]]))
    return reply


def _expect_compiled(result: object) -> None:
    expect(isinstance(result, dict) and result.get("usable") is True, f"the compile function says {result}")
