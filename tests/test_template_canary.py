"""What serverless.yml gives to a service whose canaries end by themselves, and only to such a one."""

from __future__ import annotations

import re
from typing import Any

import pytest

from classifier.metrics import METRICS
from tests.support.framework import needs_framework
from tests.support.rendered_template import EVERYTHING, effective

pytestmark = [
    needs_framework,
    pytest.mark.package,
]
ABORT = {"Fn::GetAtt": ["AbortLambdaFunction", "Arn"]}
OWN = {"AbortLambdaFunction", "AbortLogGroup", "AbortRole", "CanaryAlarm", "CanaryAlarmPermission"}


def test_nothing_of_it_is_there_until_it_is_asked_for() -> None:
    assert OWN & effective("dev").keys() == set()
    assert effective("everything").keys() >= OWN


def test_the_alarm_may_invoke_the_function_and_tells_people_too() -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html"""
    found = effective("everything")
    assert found["CanaryAlarm"]["AlarmActions"] == [ABORT, EVERYTHING["alarmTopic"]]
    assert found["CanaryAlarmPermission"] == {
        "Action": "lambda:InvokeFunction",
        "FunctionName": ABORT,
        "Principal": "lambda.alarms.cloudwatch.amazonaws.com",
        "SourceAccount": {"Ref": "AWS::AccountId"},
        "SourceArn": {
            "Fn::Sub": [
                "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:${alarm}",
                {"alarm": found["CanaryAlarm"]["AlarmName"]},
            ]
        },
    }
    assert found["CanaryAlarm"]["AlarmName"] == "keras-classifier-prod-canary"


def test_the_function_may_write_what_is_published_and_the_one_that_answers_still_may_not() -> None:
    (policy,) = effective("everything")["AbortRole"]["Policies"]
    by_action: dict[str, Any] = {}
    for one in policy["PolicyDocument"]["Statement"]:
        for action in [one["Action"]] if isinstance(one["Action"], str) else one["Action"]:
            if action.startswith("s3:"):
                by_action[action] = one["Resource"]
    bucket = {"bucket": {"Ref": "ModelBucket"}}
    arn = "arn:${AWS::Partition}:s3:::${bucket}"
    published = [{"Fn::Sub": [f"{arn}/models/prod/{one}published.json", bucket]} for one in ("", "*/")]
    assert by_action == {
        "s3:ListBucket": {"Fn::Sub": [arn, bucket]},
        **dict.fromkeys(("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"), published),
    }
    (policy,) = effective("everything")["ClassifyRole"]["Policies"]
    writes = [one["Resource"] for one in policy["PolicyDocument"]["Statement"] if "s3:PutObject" in one["Action"]]
    assert [one["Fn::Sub"][1] for one in writes] == [{"bucket": {"Ref": "ImageBucket"}}]


def alarm() -> dict[str, Any]:
    found: dict[str, Any] = effective("everything")["CanaryAlarm"]
    return found


def test_it_watches_metrics_that_the_log_carries_by_role() -> None:
    queries = [one["MetricStat"] for one in alarm()["Metrics"] if "MetricStat" in one]
    named = {(one["Metric"]["MetricName"], one["Metric"]["Dimensions"][0]["Value"]) for one in queries}
    assert named == {(name, role) for name in ("requests", "server_errors") for role in ("stable", "canary")}
    assert {one["Metric"]["Dimensions"][0]["Name"] for one in queries} == {"role"}
    assert {name for name, _ in named} <= set(METRICS[("role",)])
    assert {(one["Metric"]["Namespace"], one["Period"], one["Stat"]) for one in queries} == {
        ("keras-classifier/prod", 60, "Sum")
    }
    assert (alarm()["TreatMissingData"], alarm()["DatapointsToAlarm"]) == ("notBreaching", 1)
    assert [one["Id"] for one in alarm()["Metrics"] if one.get("ReturnData", True)] == ["worse"]


@pytest.mark.parametrize(
    ("failed", "asked", "theirs", "others", "breaches"),
    [
        (20, 100, 0, 900, 1),
        (19, 100, 0, 900, 0),  # too few to say anything
        (20, 100, 60, 900, 0),  # the stable model fails a third as often: it may be S3
        (20, 100, 58, 900, 1),
        (100, 100, 900, 900, 0),  # everything fails
        (20, 20, 0, 3, 0),  # the stable model was hardly asked
        (20, 20, 0, 4, 1),
        (51, 100, 0, 0, 1),  # nobody asked the stable model: a canary of 100 %
        (50, 100, 0, 0, 0),
    ],
)
def test_it_goes_off_when_the_canary_fails_much_more_often(
    failed: int, asked: int, theirs: int, others: int, breaches: int
) -> None:
    """CloudWatch's metric math, as far as it is used here, is Python's but for IF, AND and OR."""
    (expression,) = (one["Expression"] for one in alarm()["Metrics"] if one["Id"] == "worse")
    assert set(re.findall(r"[A-Z]+", expression)) == {"IF", "AND", "OR", "FILL"}
    text = re.sub(r"FILL\((\w+), 0\)", r"\1", expression).replace("AND", "and").replace("OR", "or")
    condition, yes, no = text.removeprefix("IF(").removesuffix(")").rsplit(", ", 2)
    given = {"failed": failed, "asked": asked, "theirs": theirs, "others": others}
    found = eval(condition, {"__builtins__": {}}, given)  # noqa: S307 - our own template
    assert int(yes if found else no) == breaches
    assert bool(breaches) is (int(yes if found else no) >= alarm()["Threshold"])
