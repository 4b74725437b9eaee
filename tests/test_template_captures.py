"""What serverless.yml gives to a service that keeps pictures, and only to such a one."""

from __future__ import annotations

from typing import Any

import pytest

from classifier.captures.capture import PREFIX
from tests.support.framework import needs_framework
from tests.support.rendered_template import EVERYTHING, effective

pytestmark = [
    needs_framework,
    pytest.mark.package,
]
KEPT = {"Fn::Sub": [f"arn:${{AWS::Partition}}:s3:::${{bucket}}/{PREFIX}*", {"bucket": {"Ref": "ImageBucket"}}]}


def statements(variant: str) -> list[dict[str, Any]]:
    (policy,) = effective(variant)["ClassifyRole"]["Policies"]
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


def rules(variant: str) -> dict[str, dict[str, Any]]:
    return {one["Id"]: one for one in effective(variant)["ImageBucket"]["LifecycleConfiguration"]["Rules"]}


def test_the_role_may_write_nothing_but_captures_and_that_only_where_they_are_on() -> None:
    writing = [one["Resource"] for one in statements("everything") if "s3:PutObject" in one["Action"]]
    assert writing == [KEPT]
    assert [one for one in statements("dev") if "s3:PutObject" in one["Action"] or one["Resource"] == KEPT] == []
    keys = {
        action: one["Resource"]
        for one in statements("everything")
        for action in [one["Action"]]
        if action == "kms:GenerateDataKey"
    }
    assert keys == {"kms:GenerateDataKey": EVERYTHING["imageKey"]}


def test_what_is_kept_is_deleted_with_its_versions() -> None:
    assert rules("everything")["captures"] == {
        "Id": "captures",
        "Status": "Enabled",
        "Prefix": PREFIX,
        "ExpirationInDays": EVERYTHING["captureDays"],
        "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
    }
    assert "captures" not in rules("dev")


def test_the_functions_are_told_and_the_queue_never_sees_a_capture() -> None:
    everything, dev = effective("everything"), effective("dev")
    asked = [one["ClassifyLambdaFunction"]["Environment"]["Variables"]["CAPTURE"] for one in (everything, dev)]
    assert asked == ["0.01,unsure", "off"]
    (pattern,) = everything["BulkRule"]["EventPattern"]["detail"]["object"]["key"]
    assert not PREFIX.startswith(pattern["prefix"])
