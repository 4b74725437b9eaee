"""EventBridge between S3 and the compile function: rules as serverless.yml states them, and a swap that compiles."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from classifier.bundles.bundle import PUBLISHED, ROLES
from classifier.compiling.compile_job import CompileJob
from classifier.compiling.compile_jobs import CompileJobs
from local.event_bridge import EventRule, bridge_event
from local.framework import TemplateError
from local.s3_changes import S3Change
from local.template import _functions, read_template
from tests.support.demo import SAMPLES, demo
from tests.support.framework import needs_framework

if TYPE_CHECKING:
    from local.s3 import LocalS3


def put(key: str, bucket: str = "models", name: str = "ObjectCreated:Put") -> S3Change:
    return S3Change(name, bucket, key, version_id="v1", etag="e1", size=3)


def test_the_event_says_what_s3_says_and_leaves_the_key_as_it_is() -> None:
    event = bridge_event(put("models/dev/a b+ü.json"))
    assert (event["source"], event["detail-type"]) == ("aws.s3", "Object Created")
    detail = event["detail"]
    assert (detail["bucket"], detail["reason"]) == ({"name": "models"}, "PutObject")
    assert detail["object"].pop("sequencer")
    assert detail["object"] == {"key": "models/dev/a b+ü.json", "size": 3, "etag": "e1", "version-id": "v1"}
    gone = bridge_event(S3Change("ObjectRemoved:DeleteMarkerCreated", "models", "k", "v2"))
    assert (gone["detail-type"], gone["detail"]["deletion-type"]) == ("Object Deleted", "Delete Marker Created")


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (["models/dev/a.json"], True),
        (["other", "models/dev/a.json"], True),
        (["models/dev/A.json"], False),
        ([{"prefix": "models/dev/"}], True),
        ([{"prefix": "dev/"}], False),
        ([{"suffix": ".json"}], True),
        ([{"suffix": ".h5"}, {"suffix": "a.json"}], True),
        ([{"wildcard": "models/*/a.json"}], True),
        ([{"wildcard": "models/?/a.json"}], False),
        ([{"equals-ignore-case": "MODELS/dev/A.json"}], True),
        ([{"anything-but": "x"}], False),
        ([], False),
    ],
)
def test_a_rule_asks_for_what_its_pattern_names(wanted: list[Any], fits: bool) -> None:
    rule = EventRule({"source": ["aws.s3"], "detail": {"object": {"key": wanted}}})
    assert rule.asks_for(bridge_event(put("models/dev/a.json"))) is fits
    assert not rule.asks_for({"source": "aws.s3", "detail": "nothing"})


@needs_framework
@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_the_compile_function_hears_of_the_bundles_objects_and_of_nothing_it_writes_itself(stage: str) -> None:
    template = read_template(stage)
    rules = [rule for function in template.functions for rule in function.rules]
    bucket, prefix = template.buckets["ModelBucket"], f"models/{stage}/"

    def heard(key: str, **more: Any) -> bool:
        asking = [rule for rule in rules if rule.asks_for(bridge_event(put(key, **({"bucket": bucket} | more))))]
        assert len(asking) <= 1  # or one object would be told twice
        return bool(asking)

    names = [*ROLES, PUBLISHED]
    assert [name for name in names if not heard(prefix + name)] == []
    assert [name for name in names if not heard(f"{prefix}cats/{name}")] == []
    unheard = ["compiled/0/report.json", "compiled/0/model.tflite", "cats/compiled/0/report.json", "probes/a.jpg"]
    assert [name for name in unheard if heard(prefix + name)] == []
    assert not heard("models/other/architecture.json")
    assert not heard(prefix + names[0], bucket="another")
    assert not heard(prefix + names[0], name="ObjectRemoved:Delete")


@needs_framework
def test_what_the_rule_lets_through_concerns_the_compile_function() -> None:
    class Store:
        prefix = "models/dev/"

    jobs = CompileJobs(CompileJob(Store()), lambda _: Store())  # type: ignore[arg-type, return-value]
    assert jobs.concerned(bridge_event(put("models/dev/architecture.json"))) == [""]
    assert jobs.concerned(bridge_event(put("models/dev/cats/architecture.json"))) == ["cats"]
    assert jobs.concerned(bridge_event(put("models/dev/compiled/0/report.json"))) == []
    assert jobs.concerned(bridge_event(put("models/dev/versions/0/architecture.json"))) == []


def test_a_pattern_may_refer_to_buckets_and_to_nothing_unknown() -> None:
    def printed(name: object) -> dict[str, Any]:
        pattern = {"detail": {"bucket": {"name": [name]}, "object": {"key": [{"prefix": "p/"}]}}}
        events = [{"eventBridge": {"pattern": pattern}}, {"eventBridge": {"schedule": "rate(1 hour)"}}]
        return {
            "service": "demo",
            "provider": {},
            "functions": {"watch": {"name": "watch", "handler": "a.b", "events": events, "reservedConcurrency": None}},
            "resources": {"Resources": {"Models": {"Type": "AWS::S3::Bucket"}}},
        }

    (function,) = _functions(printed({"Ref": "Models"}), "dev", "-x").functions
    named = {"bucket": {"name": ["demo-dev-models-x"]}, "object": {"key": [{"prefix": "p/"}]}}
    assert (function.rules, function.concurrency) == ((EventRule({"detail": named}),), None)
    with pytest.raises(TemplateError, match="Other"):
        _functions(printed({"Ref": "Other"}), "dev", "")


@needs_framework
@pytest.mark.lambda_
@pytest.mark.tensorflow
def test_a_bundle_that_is_swapped_by_hand_is_compiled_by_itself_and_then_served_by_litert(s3_server: LocalS3) -> None:
    with demo(s3_server, "by-itself", compiling=True, MODEL_CHECK_SECONDS="1", RELOAD_WAIT_SECONDS="5") as running:
        limit = time.monotonic() + 240
        reports: list[str] = []
        while not reports:
            assert time.monotonic() < limit, "\n".join(running.cloud.log)
            time.sleep(0.5)
            listed = running.s3.list_objects_v2(Bucket=running.models, Prefix=running.prefix + "compiled/")
            reports = [one["Key"] for one in listed.get("Contents", []) if one["Key"].endswith("/report.json")]
        (key,) = reports
        version = key.split("/")[-2]
        assert json.loads(running.s3.get_object(Bucket=running.models, Key=key)["Body"].read())["usable"]
        while True:
            request = urllib.request.Request(f"{running.cloud.url}/classify", SAMPLES[0].read_bytes())
            request.add_header("content-type", "image/jpeg")
            with urllib.request.urlopen(request) as reply:
                model = json.loads(reply.read())["model"]
            if model["engine"] == "litert":
                break
            assert time.monotonic() < limit, "\n".join(running.cloud.log)
            time.sleep(0.5)
        assert model["version"] == version
