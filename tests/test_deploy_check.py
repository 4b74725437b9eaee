"""What is deployed is what was built, and it works: `serverless deploy` against a local AWS, run and removed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from local.aws import LocalAws, errors_in
from local.launch import PROJECT

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


@pytest.mark.package
@pytest.mark.tensorflow
def test_what_is_deployed_classifies_and_is_removed() -> None:
    done = subprocess.run(
        [sys.executable, PROJECT / "scripts" / "deploy_check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    said = done.stdout
    for expected in ("classify with tensorflow", "classify with litert", "serverless remove", "nothing is left"):
        assert expected in said
