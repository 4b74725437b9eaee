"""What serverless.yml becomes: rendered for each stage and kind of API, checked by cfn-lint and against our promises.

One file, though a long one: each file's process renders the templates anew, which takes seconds for each of them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from fnmatch import fnmatch
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

from classifier.metrics import METRICS
from classifier.web.responses import TOLD_HEADERS
from classifier.web.routes import ASKED_HEADERS
from local.launch import PROJECT
from tests.support.framework import needs_framework
from tests.support.rendered_template import EVERYTHING, VARIANTS, effective, rendered, resources, spelt_out

VIA_S3 = "s3.*.${AWS::URLSuffix}"
pytestmark = [
    needs_framework,
    pytest.mark.package,
]


def test_cfn_lint_has_nothing_to_say_that_is_not_listed_with_its_reason(tmp_path: Path) -> None:
    """All at once, as starting it takes longer than a template does."""
    for variant in VARIANTS:
        (tmp_path / f"{variant}.json").write_text(json.dumps(rendered(variant)))
    lint = [str(Path(sys.executable).with_name("cfn-lint")), "--regions", "us-east-1", "--"]
    done = subprocess.run([*lint, *sorted(tmp_path.glob("*"))], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_parameter_is_switched_on_somewhere() -> None:
    given = {name for _, parameters in VARIANTS.values() for name in parameters}
    default = (PROJECT / "serverless.yml").read_text().partition("  default:\n")[2].partition("  prod:\n")[0]
    switches = set(re.findall(r"^    (\w+): (?:null|none|false|PassThrough)\b", default, re.MULTILINE))
    assert switches - given == set()


@pytest.mark.parametrize("variant", ["everything", "bulk"])
def test_no_rule_has_more_wildcards_than_eventbridge_takes(variant: str) -> None:
    """It counts the beginnings of wildcard patterns that one key can have at once, and refuses a rule above ten.

    Patterns alike up to their only `*` count twice each for a key that got one character past it, whatever that is.
    """
    for rule in resources(variant, "AWS::Events::Rule").values():
        keys = rule.get("EventPattern", {"detail": {"object": {"key": []}}})["detail"]["object"]["key"]
        patterns = [one["wildcard"] for one in keys if isinstance(one, dict) and "wildcard" in one]
        assert all(pattern.count("*") == 1 for pattern in patterns)
        assert 2 * len(patterns) <= 10


def allowed(variant: str, role: str) -> dict[str, list[Any]]:
    """Resources by action, of the statements that are there when the conditions are decided."""
    (policy,) = effective(variant)[role]["Policies"]
    found: dict[str, list[Any]] = {}
    for one in policy["PolicyDocument"]["Statement"]:
        for action in [one["Action"]] if isinstance(one["Action"], str) else one["Action"]:
            if one["Effect"] == "Allow":
                found.setdefault(action, []).append(one["Resource"])
    return found


@pytest.mark.parametrize(
    ("variant", "prefix", "pictures_prefix"), [("dev", "models/dev/", "images/"), ("given", "ours/v1/", "")]
)
def test_roles_allow_exactly_what_each_function_does(variant: str, prefix: str, pictures_prefix: str) -> None:
    given = VARIANTS[variant][1]

    def inside(parameter: str, logical: str, path: str) -> dict[str, Any]:
        return {
            "Fn::Sub": [
                f"arn:${{AWS::Partition}}:s3:::${{bucket}}{path}",
                {"bucket": given.get(parameter) or {"Ref": logical}},
            ]
        }

    def models(path: str) -> dict[str, Any]:
        return inside("modelBucket", "ModelBucket", path)

    pictures = inside("imageBucket", "ImageBucket", f"/{pictures_prefix}*")
    packs = inside("deploymentBucket", "ServerlessDeploymentBucket", "/serverless/keras-classifier/dev/packs/*")
    classify, compiling = allowed(variant, "ClassifyRole"), allowed(variant, "CompileRole")
    read = {"s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"}
    log = {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert set(classify) == read | log | {"s3:ListBucketVersions"}
    assert set(compiling) == read | log | {"s3:PutObject", "sqs:SendMessage"}
    assert classify["s3:GetObject"] == [models(f"/{prefix}*"), packs, pictures]
    assert compiling["s3:GetObject"] == [models(f"/{prefix}*"), packs]
    assert classify["s3:GetObjectVersion"] == compiling["s3:GetObjectVersion"] == [models(f"/{prefix}*")]
    assert classify["s3:ListBucketVersions"] == compiling["s3:ListBucket"] == [models("")]
    assert compiling["s3:PutObject"] == [[models(f"/{prefix}{one}compiled/*") for one in ("", "*/")]]
    assert compiling["sqs:SendMessage"] == [{"Fn::GetAtt": ["CompileFailures", "Arn"]}]
    for role in ("ClassifyRole", "CompileRole"):
        (policy,) = effective(variant)[role]["Policies"]
        conditions = [one["Condition"] for one in policy["PolicyDocument"]["Statement"] if "Condition" in one]
        assert conditions == [{"StringLike": {"s3:prefix": f"{prefix}*"}}]


def test_in_a_network_roles_may_have_interfaces_made_but_their_functions_code_may_not() -> None:
    everything = effective("everything")
    functions = {name: one for name, one in everything.items() if name.endswith("LambdaFunction")}
    assert len(functions) == 4
    for function in functions.values():
        ids = {name: one["Fn::Split"][1] for name, one in function["VpcConfig"].items()}
        assert ids == {"SubnetIds": EVERYTHING["subnets"], "SecurityGroupIds": EVERYTHING["securityGroups"]}
        role = function["Role"]["Fn::GetAtt"][0]
        assert "ec2:CreateNetworkInterface" in allowed("everything", role)
        denied = [
            one["Condition"]["ArnLike"]["lambda:SourceFunctionArn"]["Fn::Sub"].rpartition(":")[2]
            for one in everything[role]["Policies"][0]["PolicyDocument"]["Statement"]
            if one["Effect"] == "Deny" and "ec2:CreateNetworkInterface" in one["Action"]
        ]
        assert denied == ["keras-classifier-prod-*"]
    assert "VpcConfig" not in effective("dev")["ClassifyLambdaFunction"]


def test_every_role_has_the_boundary_and_path_that_were_given() -> None:
    roles = [effective("everything")[name] for name in resources("everything", "AWS::IAM::Role")]
    assert len(roles) == 5
    given = (EVERYTHING["permissionsBoundary"], EVERYTHING["rolePath"])
    assert {(one["PermissionsBoundary"], one["Path"]) for one in roles} == {given}
    assert "PermissionsBoundary" not in effective("dev")["ClassifyRole"]


def test_keys_encrypt_the_buckets_and_roles_may_use_them_through_s3_only() -> None:
    everything = effective("everything")
    keys = {"ModelBucket": EVERYTHING["modelKey"], "ImageBucket": EVERYTHING["imageKey"]}
    for name, key in keys.items():
        (rule,) = everything[name]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
        (rule,) = effective("dev")[name]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    found = {
        (role, action, one["Resource"].rpartition("-")[2])
        for role in resources("everything", "AWS::IAM::Role")
        for one in everything[role]["Policies"][0]["PolicyDocument"]["Statement"]
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
        if action.startswith("kms:") and one["Condition"] == {"StringLike": {"kms:ViaService": {"Fn::Sub": VIA_S3}}}
    }
    read, write = "kms:Decrypt", "kms:GenerateDataKey"
    assert found == {
        *(("ClassifyRole", read, "models"), ("ClassifyRole", read, "images"), ("ClassifyRole", write, "images")),
        *(("CompileRole", action, "models") for action in (read, write)),
        *(("AbortRole", action, "models") for action in (read, write)),
        *(("BulkRole", read, "models"), ("BulkRole", read, "images"), ("BulkRole", write, "images")),
        *(("BulkMachineRole", action, "images") for action in (read, write)),
    }


def test_an_event_that_compile_gives_up_is_kept_and_told() -> None:
    (config,) = resources("everything", "AWS::Lambda::EventInvokeConfig").values()
    kept = {"Fn::GetAtt": ["CompileFailures", "Arn"]}
    assert config["DestinationConfig"] == {"OnFailure": {"Destination": kept}}
    alarm = resources("everything", "AWS::CloudWatch::Alarm")["CompileLostAlarm"]
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"Fn::GetAtt": ["CompileFailures", "QueueName"]}}]
    assert effective("dev")["CompileFailures"]["SqsManagedSseEnabled"] is True


def test_a_rest_api_is_limited_by_caller_or_shielded_by_the_acl_that_was_given() -> None:
    ours, theirs = effective("rest"), effective("given")
    (rule,) = ours["CallerLimit"]["Rules"]
    assert (rule["Statement"]["RateBasedStatement"]["Limit"], rule["Action"]["Block"]["CustomResponse"]) == (
        "100",
        {"ResponseCode": 429},
    )
    assert ours["Shield"]["WebACLArn"] == {"Fn::GetAtt": ["CallerLimit", "Arn"]}
    assert theirs["Shield"]["WebACLArn"] == VARIANTS["given"][1]["webAcl"]
    assert theirs["Shield"]["ResourceArn"]["Fn::Sub"].endswith("/restapis/${ApiGatewayRestApi}/stages/dev")
    assert {"CallerLimit", "Shield"} & {*effective("dev"), *effective("everything")} == set()
    assert "CallerLimit" not in theirs


def test_the_default_endpoint_is_off_only_when_it_is_switched_off() -> None:
    found = {
        variant: effective(variant)[name].get(switch)
        for name, switch, variants in (
            ("HttpApi", "DisableExecuteApiEndpoint", ("dev", "everything")),
            ("ApiGatewayRestApi", "DisableExecuteApiEndpoint", ("given", "rest")),
        )
        for variant in variants
    }
    assert found == {"dev": False, "everything": True, "given": False, "rest": True}


def test_settings_tags_and_buckets_of_ones_own_are_everywhere() -> None:
    everything, given = effective("everything"), effective("given")
    for name in ("ClassifyLambdaFunction", "CompileLambdaFunction", "BulkLambdaFunction"):
        variables = everything[name]["Environment"]["Variables"]
        assert (variables["MAX_IMAGE_BYTES"], variables["COMPILE_QUANTIZE"]) == ("5000000", "")
        assert given.get(name, given["ClassifyLambdaFunction"])["Code"]["S3Bucket"] == "their-packages"
    variables = given["ClassifyLambdaFunction"]["Environment"]["Variables"]
    assert [variables[name] for name in ("MODEL_PREFIX", "IMAGE_PREFIX", "CORS_ALLOW_ORIGIN")] == ["ours/v1/", "", ""]
    assert everything["BulkLambdaFunction"]["MemorySize"] == 3008
    assert "ServerlessDeploymentBucket" not in given


@pytest.mark.parametrize(("variant", "is_apart"), [("dev", True), ("prod", True), ("url", False)])
def test_every_function_may_read_the_packs_and_nothing_else_of_the_deployment_bucket(
    variant: str, is_apart: bool
) -> None:
    prefix = f"serverless/keras-classifier/{VARIANTS[variant][0]}/packs/"
    place = ["arn:${AWS::Partition}:s3:::${bucket}/" + f"{prefix}*", {"bucket": {"Ref": "ServerlessDeploymentBucket"}}]
    allowed = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": {"Fn::Sub": place}}
    for role in ("ClassifyRole", "CompileRole", "BulkRole"):
        (policy,) = resources(variant, "AWS::IAM::Role")[role]["Policies"]
        naming = [
            one for one in policy["PolicyDocument"]["Statement"] if "ServerlessDeploymentBucket" in json.dumps(one)
        ]
        assert naming == [{"Fn::If": ["PackApart", allowed, {"Ref": "AWS::NoValue"}]}]
    word = VARIANTS[variant][1].get("pack", "bucket")
    assert rendered(variant)["Conditions"]["PackApart"] == {"Fn::Equals": [word, "bucket"]}
    assert (word == "bucket") == is_apart
    variables = resources(variant, "AWS::Lambda::Function")["ClassifyLambdaFunction"]["Environment"]["Variables"]
    assert (variables["PACK_BUCKET"], variables["PACK_PREFIX"]) == ({"Ref": "ServerlessDeploymentBucket"}, prefix)


@pytest.mark.parametrize(("variant", "expected"), [("dev", "x86_64"), ("url", "arm64")])
def test_compile_stays_on_x86_whatever_the_others_are(variant: str, expected: str) -> None:
    of = {name: one["Architectures"] for name, one in resources(variant, "AWS::Lambda::Function").items()}
    names = [f"{name}LambdaFunction" for name in ("Classify", "Bulk", "Abort", "Compile")]
    assert of == dict(zip(names, ([expected], [expected], [expected], ["x86_64"]), strict=True))


def test_a_function_url_is_open_by_both_of_the_permissions_that_it_needs() -> None:
    """Both since October 2025: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"""
    (url,) = resources("url", "AWS::Lambda::Url").values()
    assert (url["AuthType"], "Cors" in url) == ("NONE", False)  # the handler answers behind every API alike
    opened = [one for one in resources("url", "AWS::Lambda::Permission").values() if one["Principal"] == "*"]
    assert sorted((one["Action"], one.get("InvokedViaFunctionUrl")) for one in opened) == [
        ("lambda:InvokeFunction", True),
        ("lambda:InvokeFunctionUrl", None),
    ]
    (alarm,) = (
        one for one in resources("url", "AWS::CloudWatch::Alarm").values() if one.get("MetricName") == "Url5xxCount"
    )
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": "ClassifyLambdaFunction"}}]


def test_a_signed_function_url_is_open_to_nobody_and_answers_preflights_itself() -> None:
    (url,) = resources("url-iam", "AWS::Lambda::Url").values()
    assert url["AuthType"] == "AWS_IAM"
    assert url["Cors"] == {
        "AllowOrigins": ["https://pages.example"],
        "AllowMethods": ["*"],
        "AllowHeaders": list(ASKED_HEADERS),
        "ExposeHeaders": list(TOLD_HEADERS),
        "MaxAge": 3600,
    }
    assert [one for one in resources("url-iam", "AWS::Lambda::Permission").values() if one["Principal"] == "*"] == []
    assert url["TargetFunctionArn"]["Fn::Join"][1][-1] == "provisioned"


@pytest.mark.parametrize("variant", ["url", "url-iam"])
def test_behind_a_function_url_there_is_no_gateway(variant: str) -> None:
    kinds = {one["Type"] for one in rendered(variant)["Resources"].values() if "Condition" not in one}
    assert [kind for kind in kinds if kind.startswith("AWS::ApiGateway")] == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_there_is_no_custom_resource_and_no_function_but_ours(variant: str) -> None:
    kinds = {one["Type"] for one in rendered(variant)["Resources"].values()}
    assert [kind for kind in kinds if kind.startswith(("Custom::", "AWS::CloudFormation::"))] == []
    ours = {f"{name}LambdaFunction" for name in ("Classify", "Compile", "Bulk", "Abort")}
    assert set(resources(variant, "AWS::Lambda::Function")) == ours


@pytest.mark.parametrize("variant", ["dev", "prod"])
def test_buckets_are_private_encrypted_versioned_and_refuse_plain_http(variant: str) -> None:
    for name in ("ModelBucket", "ImageBucket"):
        resource = rendered(variant)["Resources"][name]
        bucket = resource["Properties"]
        assert resource["DeletionPolicy"] == ("Retain" if variant == "prod" else "Delete")
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
        assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        (statement,) = resources(variant, "AWS::S3::BucketPolicy")[f"{name}Policy"]["PolicyDocument"]["Statement"]
        assert (statement["Effect"], statement["Resource"][0]) == ("Deny", {"Fn::GetAtt": [name, "Arn"]})
    models = resources(variant, "AWS::S3::Bucket")["ModelBucket"]
    assert models["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}


@pytest.mark.parametrize(("variant", "authorization"), [("dev", None), ("jwt", "JWT"), ("iam", "AWS_IAM")])
def test_the_http_api_hands_everything_to_one_function_and_is_throttled(
    variant: str, authorization: str | None
) -> None:
    routes = {
        one["RouteKey"]: one.get("AuthorizationType") for one in resources(variant, "AWS::ApiGatewayV2::Route").values()
    }
    # A browser's preflight has no credentials.
    preflight = {} if authorization is None else {"OPTIONS /{proxy+}": None}
    assert routes == {"$default": authorization} | preflight
    (stage,) = resources(variant, "AWS::ApiGatewayV2::Stage").values()
    settings = stage["DefaultRouteSettings"]
    assert (settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]) == (100, 200)
    assert settings["DetailedMetricsEnabled"] is False  # billed by the route; alarms count the API's own
    assert json.loads(stage["AccessLogSettings"]["Format"])["request_id"] == "$context.requestId"


def test_a_rest_api_takes_pictures_as_they_are_and_wants_a_key() -> None:
    (api,) = resources("rest", "AWS::ApiGateway::RestApi").values()
    assert api["BinaryMediaTypes"] == ["*/*"]
    assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    methods = [
        (one["HttpMethod"], one["ApiKeyRequired"]) for one in resources("rest", "AWS::ApiGateway::Method").values()
    ]
    assert sorted(methods) == [("ANY", True), ("ANY", True), ("OPTIONS", False)]
    (plan,) = resources("rest", "AWS::ApiGateway::UsagePlan").values()
    assert plan["Throttle"] == {"BurstLimit": 200, "RateLimit": 100}


@pytest.mark.parametrize(("variant", "stage"), [("everything", "HttpApiStage"), ("rest", "ApiGatewayUsagePlan")])
def test_a_domain_waits_for_the_stage_that_it_leads_to(variant: str, stage: str) -> None:
    found = rendered(variant)["Resources"]
    assert found["DomainMapping"]["DependsOn"] == [stage]
    if variant == "rest":  # whose stage is made by a resource with another name each time
        assert found[found[stage]["DependsOn"]]["Type"] == "AWS::ApiGateway::Deployment"
        assert found["DomainMapping"]["Properties"]["Stage"] == "dev"


def test_provisioned_executions_are_the_ones_that_callers_reach() -> None:
    alias = rendered("everything")["Resources"]["ClassifyProvConcLambdaAlias"]["Properties"]
    assert alias["ProvisionedConcurrencyConfig"] == {"ProvisionedConcurrentExecutions": 1}
    (integration,) = resources("everything", "AWS::ApiGatewayV2::Integration").values()
    assert integration["IntegrationUri"]["Fn::Join"][1][-1] == alias["Name"]


def test_what_commands_in_the_documentation_need_is_an_output() -> None:
    conditions = {name: one.get("Condition") for name, one in rendered("everything")["Outputs"].items()}
    assert {
        "ModelPlace": None,
        "ImagePlace": None,
        "CompileFailuresUrl": None,
        "DomainTarget": "HasDomain",
    }.items() <= conditions.items()
    assert {"BulkMachineArn": "BulkMapped", "BulkDeadQueueArn": "BulkQueued"}.items() <= conditions.items()


def test_parameters_become_what_they_say() -> None:
    classify = resources("everything", "AWS::Lambda::Function")["ClassifyLambdaFunction"]
    compiling = resources("everything", "AWS::Lambda::Function")["CompileLambdaFunction"]
    assert (classify["ReservedConcurrentExecutions"], compiling["ReservedConcurrentExecutions"]) == (5, 1)
    assert classify["TracingConfig"] == {"Mode": "Active"}
    assert (classify["Timeout"], classify["MemorySize"], classify["EphemeralStorage"]) == (60, 2048, {"Size": 2048})
    (retries,) = resources("everything", "AWS::Lambda::EventInvokeConfig").values()
    assert (retries["MaximumRetryAttempts"], retries["MaximumEventAgeInSeconds"]) == (2, 3600)
    topic = [EVERYTHING["alarmTopic"]]
    alarms = resources("everything", "AWS::CloudWatch::Alarm")
    assert {json.dumps(one["AlarmActions"]) for name, one in alarms.items() if name != "CanaryAlarm"} == {
        json.dumps(topic)
    }
    off = {
        name
        for name, one in rendered("dev")["Resources"].items()
        if one.get("Condition") in ("Alarmed", "BulkAlarmed", "HasDomain", "CanaryGuarded")
        and one["Type"]
        not in ("AWS::IAM::Role", "AWS::Lambda::Function", "AWS::Lambda::Permission", "AWS::Logs::LogGroup")
    }
    assert {*alarms, "Domain", "DomainMapping"} == off
    logs = resources("everything", "AWS::Logs::LogGroup").values()
    assert {one["RetentionInDays"] for one in logs} == {90}
    assert "ReservedConcurrentExecutions" not in resources("dev", "AWS::Lambda::Function")["ClassifyLambdaFunction"]


def test_the_request_that_keeps_a_sandbox_warm_is_one_that_the_handler_reads() -> None:
    from classifier.web import events

    (target,) = resources("bulk", "AWS::Events::Rule")["KeepWarmRule"]["Targets"]
    event = json.loads(target["Input"])
    request = events.read(events.kind_of(event), event)
    assert (request.method, request.path) == ("GET", "/model")


def test_dashboard_and_alarms_show_metrics_that_the_log_carries() -> None:
    (dashboard,) = resources("dev", "AWS::CloudWatch::Dashboard").values()
    widgets = json.loads(dashboard["DashboardBody"]["Fn::Sub"])["widgets"]
    assert 'SEARCH(\'{"keras-classifier/dev",code} MetricName="errors"\'' in json.dumps(widgets).replace('\\"', '"')
    shown = [metric for one in widgets for metric in spelt_out(one["properties"].get("metrics", []))]
    ours = {(names[1], names[2::2]) for names in shown if names[0] == "keras-classifier/dev"}
    known = {(name, dimensions) for dimensions, names in METRICS.items() for name in names}
    assert ours <= known
    assert {name for name, dimensions in known - ours if dimensions != ("code",)} == {"load_ms"}  # a search finds codes
    variables = resources("dev", "AWS::Lambda::Function")["CompileLambdaFunction"]["Environment"]["Variables"]
    assert variables["METRIC_NAMESPACE"] == "keras-classifier/dev"
    alarms = resources("everything", "AWS::CloudWatch::Alarm").values()
    watched = [one for one in alarms if one.get("Namespace") == "keras-classifier/prod"]
    assert {(one["MetricName"], tuple(one["Dimensions"])) for one in watched} == {
        ("models_refused", ()),
        ("compiles_refused", ()),
        ("checks_failed", ()),
    }


@pytest.mark.parametrize(("variant", "made"), [("dev", False), ("bulk", True)])
def test_bulk_is_off_until_it_is_asked_for(variant: str, made: bool) -> None:
    conditions = rendered(variant)["Conditions"]
    for name in ("BulkQueued", "BulkMapped"):
        first, second = conditions[name]["Fn::Equals"]
        assert (first == second) is made
    parts = {name: one.get("Condition") for name, one in rendered(variant)["Resources"].items() if "Bulk" in name}
    both = {"BulkRole", "BulkLogGroup", "BulkLambdaFunction"}
    assert {name for name, condition in parts.items() if condition == "Bulk"} == both
    assert {name for name, condition in parts.items() if condition == "BulkMapped"} == {
        "BulkMachine",
        "BulkMachineRole",
    }
    queue = {"BulkQueue", "BulkDeadQueue", "BulkQueuePolicy", "BulkRule", "BulkQueueAccess", "BulkSource"}
    assert {name for name, condition in parts.items() if condition == "BulkQueued"} == queue
    assert set(parts) == both | queue | {"BulkMachine", "BulkMachineRole", "BulkAlarm"}


def test_bulk_may_read_models_and_pictures_and_write_results_only() -> None:
    (policy,) = resources("bulk", "AWS::IAM::Role")["BulkRole"]["Policies"]
    allowed = {
        (action, json.dumps(one["Resource"]))
        for one in policy["PolicyDocument"]["Statement"]
        for action in (one.get("Action") or ())
        if isinstance(one.get("Action"), list)
    }
    arn = "arn:${AWS::Partition}:s3:::${bucket}"
    models, pictures = {"bucket": {"Ref": "ModelBucket"}}, {"bucket": "their-pictures"}
    read = [{"Fn::Sub": [f"{arn}/models/dev/*", models]}, {"Fn::Sub": [f"{arn}/images/*", pictures]}]
    listed = {"Fn::Sub": [arn, models]}
    log = {"Fn::GetAtt": ["BulkLogGroup", "Arn"]}
    assert allowed == {
        *((f"s3:{action}", json.dumps(place)) for action in ("GetObject", "GetObjectVersion") for place in read),
        *((f"s3:{action}", json.dumps(listed)) for action in ("ListBucket", "ListBucketVersions")),
        *((f"logs:{action}", json.dumps(log)) for action in ("CreateLogStream", "PutLogEvents")),
    }
    (write,) = (one for one in policy["PolicyDocument"]["Statement"] if one.get("Action") == "s3:PutObject")
    assert write["Resource"] == {"Fn::Sub": [f"{arn}/results/*", pictures]}
    (receive,) = resources("bulk", "AWS::IAM::Policy")["BulkQueueAccess"]["PolicyDocument"]["Statement"]
    assert receive["Resource"] == {"Fn::GetAtt": ["BulkQueue", "Arn"]}
    assert receive["Action"] == ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]


def test_the_queue_waits_as_long_as_the_function_may_take_and_reports_failures_one_by_one() -> None:
    queue = resources("bulk", "AWS::SQS::Queue")["BulkQueue"]
    function = resources("bulk", "AWS::Lambda::Function")["BulkLambdaFunction"]
    source = resources("bulk", "AWS::Lambda::EventSourceMapping")["BulkSource"]
    assert queue["VisibilityTimeout"] == 6 * function["Timeout"]
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": ["BulkDeadQueue", "Arn"]}
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert str(source["ScalingConfig"]["MaximumConcurrency"]) == "7"
    pattern = resources("bulk", "AWS::Events::Rule")["BulkRule"]["EventPattern"]
    prefix, results = function["Environment"]["Variables"]["IMAGE_PREFIX"], function["Environment"]["Variables"]
    assert pattern["detail"]["object"]["key"] == [{"prefix": prefix}]
    assert not results["RESULTS_PREFIX"].startswith(prefix)  # or results would be pictures


def test_the_state_machine_is_json_and_starts_the_bulk_function() -> None:
    definition, _ = resources("bulk", "AWS::StepFunctions::StateMachine")["BulkMachine"]["DefinitionString"]["Fn::Sub"]
    each = json.loads(definition)["States"]["EachBatch"]
    assert (each["MaxConcurrency"], each["ItemBatcher"]["MaxItemsPerBatch"]) == (7, 100)
    task = each["ItemProcessor"]["States"]["Classify"]
    assert task["Parameters"]["FunctionName"] == "${BulkLambdaFunction.Arn}"


NOT_OURS = {
    "elasticfilesystem": "no file system",
    "s3files": "no file system",
    "firehose": "no log to a stream",
    "payments": "an account's own",
    "codedeploy": "no gradual shift of an alias",
    "s3tables": "no metadata tables",
    **dict.fromkeys(
        ("amplify", "apprunner", "appsync", "bedrock-agentcore", "cognito-idp", "elasticloadbalancing"),
        "a web ACL before something else than an API",
    ),
}
UNUSED = {
    "iam": r".*(Group|User)Policy",
    "ec2": r".*VerifiedAccess.*",
    "s3": r"REST\..*",
}
"""Actions that a resource's schema asks for on behalf of properties that we don't set, by service."""


def test_the_policy_for_deploying_covers_what_awss_own_schemas_ask_for() -> None:
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]

    document = json.loads((PROJECT / "docs" / "operate" / "deployment-policy.json").read_text())
    granted = [
        action.lower()
        for one in document["Statement"]
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    ]
    kinds = {one["Type"] for variant in VARIANTS for one in rendered(variant)["Resources"].values()}
    wanted = {
        action
        for kind in kinds
        for name, handler in PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["handlers"].items()
        if name != "list"
        for action in handler["permissions"]
    }
    missing = set()
    for action in wanted:
        service, _, name = action.partition(":")
        if service not in NOT_OURS and not re.fullmatch(UNUSED.get(service, ""), name):
            missing |= {action} if not any(fnmatch(action.lower(), one) for one in granted) else set()
    assert missing == set()
    assert len(wanted) > 200


def test_every_finding_of_checkov_that_is_answered_is_of_a_resource_that_there_is() -> None:
    """Whether the answers are to what checkov finds is what scripts/second_opinion asks checkov itself."""
    loader = SourceFileLoader("second_opinion", str(PROJECT / "scripts" / "second_opinion"))
    module = module_from_spec(spec_from_loader("second_opinion", loader) or pytest.fail("no script"))
    loader.exec_module(module)
    page = module.ANSWERS.read_text()
    there = {name for variant in VARIANTS for name in rendered(variant)["Resources"]}
    assert {resource for _, resource in module.answers(page)} - there == set()
    assert len(module.answers(page)) > 20
    with pytest.raises(SystemExit, match="no answer to CKV_AWS_21"):
        module.answers(re.sub(r"(CKV_AWS_21 .*)\| [^|]+\|\n", r"\1| |\n", page))
