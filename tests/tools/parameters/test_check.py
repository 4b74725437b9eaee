"""What people type as parameters, and the one sentence that each mistake gets."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from typing import Any

import pytest
import yaml

from classifier.settings import Settings
from local.launch import PROJECT

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="the framework's plugins need Node")

HARNESS = """
const Plugin = require(process.cwd() + '/tools/parameters');
const { configuration, cases } = JSON.parse(require('fs').readFileSync(0));
class Failure extends Error {}
const said = cases.map(({ param = [], stage, region, params = {}, commands = ['package'], more = {} }) => {
  const input = { ...structuredClone(configuration), ...more };
  for (const [name, values] of Object.entries(params)) input.params[name] = { ...input.params[name], ...values };
  input.provider = { ...input.provider, ...more.provider };
  const serverless = { configurationInput: input, serviceDir: process.cwd(), classes: { Error: Failure },
    processedInput: { commands, options: { param, stage, region } } };
  try { new Plugin(serverless, {}); return []; } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return error.message.split('\\n- ').slice(1);
  }
});
console.log(JSON.stringify({ said, list: require(process.cwd() + '/tools/parameters/list') }));
"""


class Tagless(yaml.SafeLoader):  # type: ignore[misc]
    """CloudFormation's tags as plain values."""


Tagless.add_multi_constructor("!", lambda _loader, _suffix, node: node.value)


@cache
def template() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load((PROJECT / "serverless.yml").read_text(), Tagless)  # noqa: S506 - a SafeLoader
    return {name: found[name] for name in ("service", "params", "functions", "provider")}


def plugin(*cases: dict[str, Any]) -> dict[str, Any]:
    configuration = template() | {"functions": {name: {} for name in template()["functions"]}}
    configuration["provider"] = {"name": "aws", "stage": "dev", "region": "us-east-1"}
    given = json.dumps({"configuration": configuration, "cases": cases})
    done = subprocess.run(
        ["node", "-e", HARNESS], cwd=PROJECT, input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


CERTIFICATE = "certificate=arn:aws:acm:us-east-1:123456789012:certificate/0"
ACL = "webAcl=arn:aws:wafv2:us-east-1:123456789012:regional/webacl/ours/0a1b"
LINES = (PROJECT / "tests" / "data" / "parameters" / "wrong.txt").read_text().splitlines()[1:]
WRONG = {given: sentence for given, _, sentence in (line.partition(" => ") for line in LINES)}
RIGHT = [
    "",
    "memory=512 compileMemory=10240 concurrency=2 compileConcurrency=1 provisioned=2",
    "keepWarm=true tracing=Active onRemove=Retain logDays=365 engine=litert",
    "corsOrigin=none",
    "corsOrigin=https://pages.example:8443",
    "modelBucket=their-models imageBucket=their.pictures modelPrefix=a/b.c/ imagePrefix=none",
    "modelBucket=none concurrency=none memory=none",
    "modelBucket=ours imageBucket=ours",
    f"domain=pictures.example {CERTIFICATE} disableDefaultEndpoint=true",
    "domain=*.pictures.example " + CERTIFICATE,
    "api=http-jwt jwtIssuer=https://issuer.example/realms/a jwtAudience=us",
    f"api=rest {ACL}",
    "api=rest-key requestsPerCaller=100 burst=9",
    "subnets=subnet-0123456789abcdef0,subnet-01234567 securityGroups=sg-0123456789abcdef0",
    "permissionsBoundary=arn:aws:iam::123456789012:policy/teams/boundary rolePath=/teams/vision/",
    "permissionsBoundary=arn:aws:iam::aws:policy/PowerUserAccess",
    "modelKey=arn:aws:kms:us-east-1:123456789012:key/0a1b-2c imageKey=arn:aws:kms:us-east-1:123456789012:key/mrk-0a",
    "modelBucket=theirs modelKey=arn:aws:kms:eu-west-1:123456789012:key/0a1b-2c",
    "tags=team=vision,cost-center=42 deploymentBucket=ours",
    "bulkMap=true bulkConcurrency=9 bulkMemory=4096",
    "capture=0.01",
    "capture=1 captureDays=365",
    "capture=unsure",
    "capture=0.01,unsure imageBucket=theirs",
    "capture=off imagePrefix=none",
    "alarmTopic=arn:aws:sns:us-east-1:123456789012:alarms slowMs=9000",
    "MAX_IMAGE_BYTES=5000000 LOG_LEVEL=warning COMPILE_QUANTIZE=none IMAGE_FORMATS=jpeg,tiff",
]


def test_every_mistake_gets_its_one_sentence() -> None:
    said = plugin(*({"param": given.split()} for given in WRONG))["said"]
    assert dict(zip(WRONG, said, strict=True)) == {given: [sentence] for given, sentence in WRONG.items()}
    assert len(WRONG) >= 40


def test_what_is_right_passes() -> None:
    said = plugin(*({"param": given.split()} for given in RIGHT))["said"]
    assert [(given, found) for given, found in zip(RIGHT, said, strict=True) if found] == []


def test_all_that_is_wrong_is_said_at_once_and_by_stage() -> None:
    prod = {
        "prod": {"memory": 5, "statements": [{"Effect": "Allow"}], "tags": {"aws:x": "y"}, "logDays": "${env:DAYS}"}
    }
    both = {"param": ["memory=6", "memory=7"], "params": prod}
    said = plugin({**both, "stage": "dev"}, {**both, "stage": "prod"}, {"params": prod, "stage": "prod"})["said"]
    assert [[sentence.partition(":")[0].partition("=[")[0] for sentence in one] for one in said] == [
        ["memory=7"],
        ["memory=7", "statements", 'tags={"aws'],
        ["memory=5", "statements", 'tags={"aws'],
    ]


def test_a_stage_that_is_prod_by_another_name_has_to_say_what_becomes_of_its_buckets() -> None:
    kept = {"params": {"production": {"onRemove": "Retain"}}, "stage": "production"}
    said = plugin({"stage": "production"}, {"stage": "Prod"}, {"stage": "prod-2"}, kept, {"stage": "product"})["said"]
    assert [bool(one) for one in said] == [True, True, True, False, False]
    (sentence,) = said[0]
    assert sentence == (
        "the stage production is not prod, so that its buckets would go with the stack (onRemove=Delete): "
        "call it prod, or write onRemove under params.production in serverless.yml"
    )


def test_a_stage_has_to_give_names_that_aws_takes() -> None:
    said = plugin({"stage": "feature/x"}, {"stage": "my.stage"}, {"stage": "s" * 39}, {"stage": "s" * 38})["said"]
    assert said[:2] == [
        [f"the stage {name}: expected letters, digits and hyphens"] for name in ("feature/x", "my.stage")
    ]
    assert re.search("has 65 characters, and a function's name 64 at most", said[2][0])
    assert said[3] == []


def test_settings_of_the_framework_that_our_roles_would_not_follow_are_refused_with_the_parameter() -> None:
    role = {"permissionsBoundary": "arn", "path": "/x/", "statements": [], "managedPolicies": ["arn"]}
    cases = [
        {"provider": {"vpc": {"subnetIds": ["subnet-1"]}}},
        {"provider": {"iam": {"role": role}}},
        {"provider": {"iam": {"role": "arn:aws:iam::123456789012:role/ours"}}},
        {"provider": {"deploymentBucket": {"name": "ours"}}},
        {"functions": {"classify": {"vpc": {"subnetIds": []}}}},
    ]
    said = plugin(*({"more": more} for more in cases))["said"]
    named = [[re.findall(r"parameters? (.*)", sentence) for sentence in one] for one in said]
    network = "subnets and securityGroups"
    assert named == [
        [[f"{network}, which give the roles their permission, too"]],
        [["permissionsBoundary"], ["rolePath"], ["statements"], ["statements"]],
        [[]],
        [["deploymentBucket"]],
        [[network]],
    ]


def test_a_stage_that_is_removed_needs_no_right_parameters() -> None:
    assert plugin({"param": ["door=x"], "commands": ["remove"]})["said"] == [[]]


def test_the_list_is_serverless_ymls() -> None:
    found = plugin({})["list"]
    listed = {name: one.get("unset") for name, one in found["PARAMETERS"].items()}
    assert listed == template()["params"]["default"]
    ours = {variable.name for variable in Settings.variables().values()}
    assert set(found["SET_BY"]) == ours & set(template()["provider"]["environment"])
    text = (PROJECT / "serverless.yml").read_text()
    used = set(re.findall(r"\$\{(?:param|given):(\w+)", text))
    by_plugin = {"tags", "statements", "deploymentBucket"}
    assert used | by_plugin == set(listed)
