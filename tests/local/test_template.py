"""Functions as serverless.yml states them: CloudFormation's functions resolved, triggers found, drift impossible."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from classifier.settings import Settings
from local import framework
from local.framework import TemplateError
from local.launch import PROJECT
from local.s3_changes import S3Trigger
from local.template import Resolver, _functions, read_template
from tests.support.framework import needs_framework

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@needs_framework
def test_the_projects_own_functions_have_settings_that_the_code_accepts() -> None:
    template = read_template("prod", suffix="-x")
    serving = template.functions[0]
    settings = Settings.from_env(serving.environment)
    assert serving.handler == "handler.classify"
    assert (settings.model_bucket, settings.model_prefix) == (template.buckets["ModelBucket"], "models/prod/")
    assert settings.image_bucket == "keras-classifier-prod-imagebucket-x"


@needs_framework
def test_what_is_shipped_is_what_the_framework_reads() -> None:
    shipped = json.loads(framework.SHIPPED.read_text())
    now = {"digest": framework.digest("dev", PROJECT), "stated": framework.used(framework.printed("dev"))}
    assert shipped == now, (
        "serverless.yml has changed: commit local/serverless-dev.json, after: .venv/bin/python -m local.framework"
    )


def test_starting_needs_no_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(framework, "printed", refuse)
    monkeypatch.setattr(framework, "digest", lambda *_: json.loads(framework.SHIPPED.read_text())["digest"])
    assert read_template().functions[0].handler == "handler.classify"


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda text: f"# a note\n\n{text}", True),
        (lambda text: text.replace("timeout: 900", "timeout: 800"), False),
    ],
    ids=["comment", "timeout"],
)
def test_only_a_comment_leaves_what_is_shipped_valid(tmp_path: Path, change: Callable[[str], str], same: bool) -> None:
    for name in ("serverless.yml", "package-lock.json"):
        shutil.copy(PROJECT / name, tmp_path)
    text = (tmp_path / "serverless.yml").read_text()
    (tmp_path / "serverless.yml").write_text(change(text))
    assert (framework.digest("dev", tmp_path) == framework.digest("dev", PROJECT)) is same


@needs_framework
def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    for name in ("serverless.yml", "package-lock.json", "package.json"):
        shutil.copy(PROJECT / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(PROJECT / "node_modules")
    kept = tmp_path / "build" / "serverless"
    template = (tmp_path / "serverless.yml").read_text()
    plain = template.partition("plugins:")[0] + "provider:\n  name: aws\n  runtime: python3.13\n"
    (tmp_path / "serverless.yml").write_text(plain + "functions:\n  one:\n    handler: a.b\n    timeout: 7\n")
    assert read_template(project=tmp_path).functions[0].timeout_s == 7
    (tmp_path / "serverless.yml").write_text(plain + "functions:\n  one:\n    handler: a.b\n    timeout: 8\n")
    assert read_template(project=tmp_path).functions[0].timeout_s == 8
    assert len(list(kept.glob("*.json"))) == 2
    (tmp_path / "serverless.yml").write_text("service: [")
    with pytest.raises(TemplateError, match=r"serverless\.yml can't be read: "):
        read_template(project=tmp_path)


def printed(**more: Any) -> dict[str, Any]:
    return {
        "service": "demo",
        "provider": {"memorySize": 512, "environment": {"A": {"Ref": "Models"}, "B": "provider's"}},
        "functions": {
            "compile-it": {
                "name": "demo-dev-compile-it",
                "handler": "a.b",
                "timeout": 900,
                "reservedConcurrency": 1,
                "environment": {"B": "own"},
                "events": [{"s3": {"bucket": {"Ref": "Models"}, "rules": [{"prefix": "p/"}, {"suffix": ".json"}]}}],
            },
            "serve": {"name": "demo-dev-serve", "handler": "a.c", "events": [{"httpApi": "*"}]},
        },
        "resources": {"Resources": {"Models": {"Type": "AWS::S3::Bucket", **more}, "Role": {"Type": "AWS::IAM::Role"}}},
    }


def test_a_function_takes_the_providers_values_unless_it_has_its_own_and_the_one_with_routes_is_first() -> None:
    template = _functions(printed(), "dev", "")
    serve, compile_it = template.functions
    own = {"ServerlessDeploymentBucket": "demo-dev-deployment"}
    assert template.buckets == {"Models": "demo-dev-models"} | own
    assert (serve.name, serve.memory_mb, serve.timeout_s, serve.concurrency) == ("demo-dev-serve", 512, 6, None)
    assert (compile_it.timeout_s, compile_it.concurrency) == (900, 1)
    assert compile_it.environment == {"A": "demo-dev-models", "B": "own"}
    assert compile_it.triggers == (S3Trigger(bucket="demo-dev-models", prefix="p/", suffix=".json"),)


@pytest.mark.parametrize("function", [["CompileDashitLambdaFunction", "Arn"], "CompileDashitLambdaFunction.Arn"])
def test_a_trigger_may_stand_in_the_bucket_as_well(function: object) -> None:
    rules = [{"Name": "prefix", "Value": {"Fn::Sub": "x/${AWS::Region}/"}}]
    configuration = {
        "Event": "s3:ObjectCreated:*",
        "Function": {"Fn::GetAtt": function},
        "Filter": {"S3Key": {"Rules": rules}},
    }
    more = {"Properties": {"NotificationConfiguration": {"LambdaConfigurations": [configuration]}}}
    serve, compile_it = _functions(printed(**more), "dev", "").functions
    assert compile_it.triggers[1:] == (S3Trigger(bucket="demo-dev-models", prefix="x/us-east-1/"),)
    assert serve.triggers == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        (30, "30"),
        (True, "true"),
        ({"Ref": "Models"}, "bucket-1"),
        ({"Ref": "AWS::AccountId"}, "123456789012"),
        ({"Fn::GetAtt": ["Models", "Arn"]}, "arn:aws:s3:::bucket-1"),
        ({"Fn::GetAtt": "Models.Arn"}, "arn:aws:s3:::bucket-1"),
        ({"Fn::Sub": "${Models}/${AWS::Region}/${!kept}"}, "bucket-1/us-east-1/${!kept}"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Models"}]]}, "a-bucket-1"),
    ],
)
def test_cloudformations_functions(value: object, text: str) -> None:
    assert Resolver({"Models": "bucket-1"}).text(value) == text


@pytest.mark.parametrize(
    "value", [{"Ref": "Other"}, {"Fn::ImportValue": "x"}, {"Fn::Sub": "${Other}"}, ["a"], {}, None, {"a": 1, "b": 2}]
)
def test_what_means_nothing_here_is_an_error_that_names_it(value: object) -> None:
    with pytest.raises(TemplateError, match=r"serverless\.yml: "):
        Resolver({"Models": "bucket-1"}).text(value)
