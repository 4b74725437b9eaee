"""What the plugin does within the framework, and says of buckets that were there before."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from local.deployment import light_copy
from local.launch import PROJECT
from tests.support.answering import Answering
from tests.support.framework import needs_framework

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.s3 import LocalS3
    from local.web import RequestHandler

pytestmark = needs_framework
APPLIED = """
const Plugin = require(process.cwd() + '/tools/parameters');
const { params, artifact } = JSON.parse(require('fs').readFileSync(0));
const role = () => ({ Type: 'AWS::IAM::Role', Properties: { Policies: [{ PolicyDocument: { Statement: ['own'] } }] } });
const service = {
  provider: { name: 'aws', stackTags: { service: 's', stage: 'dev' }, environment: { ENGINE: 'auto' } },
  functions: { classify: { role: 'ClassifyRole' }, bulk: { role: 'BulkRole' } }, package: { artifact },
  resources: { Resources: { ClassifyRole: role(), BulkRole: role(), BulkMachineRole: role(), Bucket: {} } },
};
class Failure extends Error {}
const plugin = new Plugin({
  configurationInput: { service: 's', provider: service.provider, params: { default: params } },
  serviceDir: process.cwd(), service, classes: { Error: Failure }, processedInput: { commands: ['info'], options: {} },
}, {});
plugin.hooks.initialize();
let refused = null;
try { plugin.hooks['before:deploy:function:deploy'](); } catch (error) { refused = error.message; }
const statements = Object.fromEntries(Object.entries(service.resources.Resources).filter(([, one]) => one.Properties)
  .map(([name, one]) => [name, one.Properties.Policies[0].PolicyDocument.Statement]));
console.log(JSON.stringify({ statements, provider: service.provider, refused }));
"""
REMARKS = """
const { remarks } = require(process.cwd() + '/tools/parameters/buckets');
const { endpoint, account, ...about } = JSON.parse(require('fs').readFileSync(0));
const credentials = { accessKeyId: 'a', secretAccessKey: 's' };
const config = { region: about.region, endpoint, forcePathStyle: true, credentials };
const provider = { getAwsSdkV3Config: async () => config, getAccountId: async () => account };
remarks(provider, about).then((found) => console.log(JSON.stringify(found)));
"""


def node(script: str, given: dict[str, Any]) -> Any:
    done = subprocess.run(
        ["node", "-e", script], cwd=PROJECT, input=json.dumps(given), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_statements_reach_the_functions_roles_and_tags_and_settings_everything() -> None:
    more = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    params = {"statements": [more], "tags": "team=vision, cost=a=b", "MAX_IMAGE_BYTES": 5, "COMPILE_QUANTIZE": "none"}
    found = node(APPLIED, {"params": params})
    assert found["statements"] == {
        "ClassifyRole": ["own", more],
        "BulkRole": ["own", more],
        "BulkMachineRole": ["own"],
    }
    assert found["provider"]["stackTags"] == {"service": "s", "stage": "dev", "team": "vision", "cost": "a=b"}
    assert found["provider"]["environment"] == {"ENGINE": "auto", "MAX_IMAGE_BYTES": "5", "COMPILE_QUANTIZE": ""}


def test_what_only_the_command_line_gave_is_what_the_next_deployment_forgets() -> None:
    script = """
    const Plugin = require(process.cwd() + '/tools/parameters');
    const said = [];
    const plugin = (param) => new Plugin({
      configurationInput: { service: 's', provider: {}, params: { prod: { memory: 512 } } },
      processedInput: { commands: ['deploy'], options: { stage: 'prod', param } }, serviceDir: process.cwd() },
      {}, { log: { warning: (text) => said.push(text) } });
    const tell = (param) => plugin(param).hooks['after:deploy:deploy']();
    tell().then(() => tell(['api=http-iam', 'slowMs=9', 'alarmTopic=arn:aws:sns:us-east-1:123456789012:a']))
      .then(() => console.log(JSON.stringify(said)));
    """
    (said,) = node(script, {})
    assert said == (
        "--param holds for this deployment only: the next one without it goes back. "
        "To keep api, slowMs, alarmTopic, write them under params.prod in serverless.yml"
    )


def test_a_package_too_large_to_be_sent_inline_is_refused_by_deploy_function(tmp_path: Path) -> None:
    artifact = tmp_path / "package.zip"
    artifact.touch()
    assert node(APPLIED, {"params": {}, "artifact": str(artifact)})["refused"] is None
    with artifact.open("r+b") as file:
        file.truncate(50 * 1024 * 1024 + 1)
    said = node(APPLIED, {"params": {}, "artifact": str(artifact)})["refused"]
    assert said == (
        "deploy function sends the package inline, of which Lambda takes 50 MB, and this one has 52.4: "
        "use `serverless deploy`"
    )


def test_the_framework_says_all_of_it_before_anything_else(tmp_path: Path) -> None:
    command = ["node_modules/.bin/serverless", "package", "--param", "doors=http-iam", "--param", "api=iam"]
    done = subprocess.run(command, cwd=light_copy(tmp_path), capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "2 things are wrong:" in said
    assert "- there is no parameter doors: the nearest is api\n" in said
    assert "- api=iam: expected http, http-iam, http-jwt, rest, rest-key, url or url-iam\n" in said
    assert not (tmp_path / ".serverless").exists()


class Answers(Answering):
    """A bucket in eu-west-1 of account 2, as S3 documents its answers; moto leaves EventBridge out of its own."""

    def answer(self, asked: RequestHandler) -> None:
        owner = asked.headers.get("x-amz-expected-bucket-owner", "222222222222")
        status = 200 if owner == "222222222222" else 403
        body = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        if "notification" in asked.path:
            body = b"<NotificationConfiguration><EventBridgeConfiguration/></NotificationConfiguration>"
        asked.send(status, [("x-amz-bucket-region", "eu-west-1")], body)


@pytest.fixture
def there() -> Iterator[str]:
    with Answers() as server:
        yield server.url


def said(endpoint: str, account: str, **about: Any) -> list[str]:
    found: list[str] = node(REMARKS, {"endpoint": endpoint, "account": account, **about})
    return [one.partition(":")[0] for one in found]


def test_a_bucket_that_was_there_is_looked_at(there: str) -> None:
    far = "is in eu-west-1, and its events don't reach us-east-1"
    assert said(there, "222222222222", region="eu-west-1", modelBucket="m", imageBucket="i", bulkQueue=True) == []
    assert said(there, "111111111111", region="us-east-1", modelBucket="m", imageBucket="i", bulkQueue=False) == [
        f"modelBucket m {far}",
        "modelBucket m is of another account",
        "imageBucket i is of another account",
    ]
    assert said(there, "222222222222", region="us-east-1", imageBucket="i", bulkQueue=True) == [f"imageBucket i {far}"]


def test_what_a_bucket_lacks_is_said(s3_server: LocalS3) -> None:
    s3_server.client().create_bucket(Bucket="bare-bucket")
    assert said(s3_server.endpoint, "123456789012", region="us-east-1", modelBucket="bare-bucket") == [
        "modelBucket bare-bucket sends no events to EventBridge",
        "modelBucket bare-bucket keeps no versions",
    ]
    missing = said(s3_server.endpoint, "123456789012", region="us-east-1", modelBucket="nowhere-at-all")
    assert missing == ["modelBucket nowhere-at-all does not exist"]


def test_a_bucket_that_would_keep_pictures_for_ever_is_said(s3_server: LocalS3) -> None:
    client, name = s3_server.client(), "kept-pictures"
    client.create_bucket(Bucket=name)

    def remarks(capture: bool) -> list[str]:
        return said(s3_server.endpoint, "123456789012", region="us-east-1", imageBucket=name, capture=capture)

    forever = [f"imageBucket {name} has no lifecycle rule for captures/"]
    assert (remarks(capture=False), remarks(capture=True)) == ([], forever)
    for prefix, expected in (("images/", forever), ("captures/", []), ("", [])):
        rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": prefix}, "Expiration": {"Days": 30}}
        client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [rule]})
        assert remarks(capture=True) == expected
