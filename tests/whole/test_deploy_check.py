"""What is deployed is what was built, and it works: `serverless deploy` against a local AWS, run and removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.account import REGION
from local.aws import LocalAws, errors_in
from local.launch import PROJECT, credentials
from tests.support.framework import needs_framework

pytestmark = pytest.mark.lambda_  # cfn-lint's rules take seconds to load
GOOD = {
    "Resources": {
        "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"VersioningConfiguration": {"Status": "Enabled"}}}
    }
}
WARNED = {
    "Resources": {
        "Bucket": {"Type": "AWS::S3::Bucket"},
        "Policy": {
            "Type": "AWS::S3::BucketPolicy",
            "DependsOn": "Bucket",  # cfn-lint's W3005: the reference says so already
            "Properties": {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": {"Version": "2012-10-17", "Statement": []}},
        },
    }
}
WRONG = {"Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": {"Ref": "Nothing"}}}}}


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    server = LocalAws()
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize(("template", "codes"), [(GOOD, []), (WARNED, []), (WRONG, ["E1020"])])
def test_a_template_has_errors_or_it_has_none(template: dict[str, Any], codes: list[str]) -> None:
    assert [error.partition(" ")[0] for error in errors_in(json.dumps(template))] == codes


def test_a_template_that_only_warns_is_valid(aws: LocalAws) -> None:
    aws.client("cloudformation").validate_template(TemplateBody=json.dumps(WARNED))


def test_a_template_that_is_wrong_is_refused_with_what_is_wrong(aws: LocalAws) -> None:
    client = aws.client("cloudformation")
    with pytest.raises(client.exceptions.ClientError, match=r"ValidationError.*E1020.*Nothing"):
        client.validate_template(TemplateBody=json.dumps(WRONG))


def test_a_template_that_lies_in_s3_is_validated_too(aws: LocalAws) -> None:
    aws.create_bucket("templates")
    aws.client().put_object(Bucket="templates", Key="a/wrong.json", Body=json.dumps(WRONG).encode())
    client = aws.client("cloudformation")
    with pytest.raises(client.exceptions.ClientError, match="E1020"):
        client.validate_template(TemplateURL=f"{aws.endpoint}/templates/a/wrong.json")


def test_other_forms_reach_the_service_that_they_are_for(aws: LocalAws) -> None:
    assert aws.client("sts").get_caller_identity()["Account"] == "123456789012"


def run(*command: str | Path, environment: dict[str, str] | None = None, timeout_s: float = 120) -> str:
    """A script's output; fails with what it said when it fails."""
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def test_a_bucket_is_emptied_of_versions_and_delete_markers_but_only_if_that_is_meant(aws: LocalAws) -> None:
    client = aws.client()
    for name in ("full", "other"):
        aws.create_bucket(name)
        for body in (b"one", b"three"):
            client.put_object(Bucket=name, Key="a/key with space+plus", Body=body)
        client.delete_object(Bucket=name, Key="a/key with space+plus")
    own = {"AWS_ENDPOINT_URL": aws.endpoint, "AWS_REGION": REGION, **credentials()}
    script = PROJECT / "scripts" / "empty"
    assert "full: 3 objects, versions and delete markers, 8 bytes\n" in run(script, "full", environment=own)
    assert len(client.list_object_versions(Bucket="full")["Versions"]) == 2
    assert "deleted" in run(script, "full", "--yes", environment=own)
    assert {"Versions", "DeleteMarkers"} & client.list_object_versions(Bucket="full").keys() == set()
    assert len(client.list_object_versions(Bucket="other")["Versions"]) == 2
    client.delete_bucket(Bucket="full")


@needs_framework
def test_both_stages_are_deployed_twice_and_removed_and_keep_what_they_promise() -> None:
    said = run(PROJECT / "scripts" / "deploy_check", "--light", timeout_s=600)
    assert "2 buckets and the dead letters of prod" in said
    assert said.endswith("nothing is left to undo.\n")


@needs_framework
@pytest.mark.package
@pytest.mark.tensorflow
def test_what_is_deployed_classifies_and_is_removed() -> None:
    said = run(PROJECT / "scripts" / "deploy_check", timeout_s=1500)
    for expected in ("classify with tensorflow", "classify with litert", "serverless remove", "nothing is left"):
        assert expected in said
