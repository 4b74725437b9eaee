"""A stage as the Serverless Framework deploys it to the local AWS, and what of it is there when it is gone."""

from __future__ import annotations

import ast
import base64
import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.account import REGION
from local.function import Function
from local.launch import PROJECT, credentials
from local.template import DEPLOYMENT_BUCKET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.aws import LocalAws

SERVICE = "keras-classifier"
MAY_BE_EMPTY = ("EXAMPLES_PREFIX",)
"""Variables whose default is nothing; any other that is empty is a reference that led nowhere."""
_PACKING = re.compile(r"  - (?:serverless-python-requirements|\./tools/packaging/plugin)\b.*\n")


class DeploymentError(Exception):
    """What was deployed is not what it should be; the text says what."""


def expect(fact: bool, otherwise: str) -> None:
    """DeploymentError when it is none."""
    if not fact:
        raise DeploymentError(otherwise)


def light_copy(folder: Path) -> Path:
    """Make `folder` the project without the plugins that install and pack: our own code deploys in seconds."""
    for name in ("package.json", "handler.py", "model_loader.py"):
        shutil.copy(PROJECT / name, folder)
    for name in ("classifier", "node_modules", "tools"):
        (folder / name).symlink_to(PROJECT / name)
    (folder / "serverless.yml").write_text(_PACKING.sub("", (PROJECT / "serverless.yml").read_text()))
    return folder


@dataclass(frozen=True, slots=True)
class Deployment:
    """One stage of a project folder on a local AWS."""

    aws: LocalAws
    stage: str
    project: Path = PROJECT

    @property
    def stack(self) -> str:
        """The stack's name."""
        return f"{SERVICE}-{self.stage}"

    def deploy(self, *options: str) -> None:
        """`serverless deploy`."""
        self._serverless("deploy", *options)

    def remove(self) -> None:
        """`serverless remove`."""
        self._serverless("remove")

    def bucket(self, logical: str) -> str:
        """The name of a bucket of the stack."""
        # Not by describe_stack_resource: moto's fails once it passed a resource that it only pretended to make.
        found = self.aws.client("cloudformation").list_stack_resources(StackName=self.stack)["StackResourceSummaries"]
        return next(str(one["PhysicalResourceId"]) for one in found if one.get("LogicalResourceId") == logical)

    def packs(self) -> dict[str, tuple[int, Any]]:
        """TensorFlow's packs in the deployment bucket: size and time by key."""
        place = {"Bucket": self.bucket(DEPLOYMENT_BUCKET), "Prefix": f"serverless/{SERVICE}/{self.stage}/packs/"}
        listed = self.aws.client().list_objects_v2(**place).get("Contents", [])
        return {one["Key"]: (one["Size"], one["LastModified"]) for one in listed}

    def function(self, name: str) -> tuple[bytes, Function]:
        """The zip and the settings of a function as AWS has them; DeploymentError when they can't be right."""
        full = f"{self.stack}-{name}"
        config = self.aws.client("lambda").get_function(FunctionName=full)["Configuration"]
        code = self._code(f"{name.capitalize()}LambdaFunction")
        digest = base64.b64encode(hashlib.sha256(code).digest()).decode()
        expect(config["CodeSha256"] == digest, f"{full}: its code is not the package that was uploaded")
        expect(config["Runtime"] == "python3.13", f"{full}: its runtime is {config['Runtime']}")
        variables = config["Environment"]["Variables"]
        empty = sorted(name for name, value in variables.items() if not value and name not in MAY_BE_EMPTY)
        expect(not empty, f"{full}: {', '.join(empty)} is empty: {variables}")
        actions = self._actions(config["Role"].rpartition("/")[2])
        writes = {action for action in actions if "Put" in action and action.startswith("s3:")}
        expect(writes == (set() if name == "classify" else {"s3:PutObject"}), f"{full}: its role may {sorted(actions)}")
        expect("s3:GetObject" in actions, f"{full}: its role may not read the model")
        return code, Function(
            name=full,
            handler=config["Handler"],
            memory_mb=config["MemorySize"],
            timeout_s=config["Timeout"],
            tmp_mb=config.get("EphemeralStorage", {}).get("Size", 512),
            environment=config["Environment"]["Variables"],
        )

    def _code(self, logical: str) -> bytes:
        """The zip that the stack's template names."""
        template = self.aws.client("cloudformation").get_template(StackName=self.stack)["TemplateBody"]
        place = template["Resources"][logical]["Properties"]["Code"]
        bucket = place["S3Bucket"] if isinstance(place["S3Bucket"], str) else self.bucket(place["S3Bucket"]["Ref"])
        body: bytes = self.aws.client().get_object(Bucket=bucket, Key=place["S3Key"])["Body"].read()
        return body

    def _actions(self, role: str) -> set[str]:
        iam, actions = self.aws.client("iam"), set[str]()
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            # moto keeps what CloudFormation made as Python writes it, not as JSON.
            parsed = ast.literal_eval(document) if isinstance(document, str) else document
            for statement in filter(None, parsed["Statement"]):
                actions |= set(statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]])
        return actions

    def _serverless(self, command: str, *options: str) -> None:
        own = {"AWS_ENDPOINT_URL": self.aws.endpoint, "AWS_REGION": REGION, "PACK_LEVEL": "quick", **credentials()}
        done = subprocess.run(
            ["npx", "serverless", command, "--stage", self.stage, "--verbose", *options],
            cwd=self.project,
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        expect(done.returncode == 0, f"`serverless {command}` failed:\n{(done.stdout + done.stderr)[-6000:]}")


def inventory(aws: LocalAws) -> frozenset[str]:
    """Everything that is there, of the kinds that our template makes and moto knows."""

    def listed(service: str, call: str, field: str, name: str) -> Iterator[str]:
        found: list[Any] = getattr(aws.client(service), call)().get(field, [])
        return (f"{service} {one[name] if name else one}" for one in found)

    return frozenset(
        name
        for kind in (
            ("cloudformation", "describe_stacks", "Stacks", "StackName"),
            ("s3", "list_buckets", "Buckets", "Name"),
            ("lambda", "list_functions", "Functions", "FunctionName"),
            ("iam", "list_roles", "Roles", "RoleName"),
            ("logs", "describe_log_groups", "logGroups", "logGroupName"),
            ("sqs", "list_queues", "QueueUrls", ""),
            ("lambda", "list_event_source_mappings", "EventSourceMappings", "UUID"),
            ("stepfunctions", "list_state_machines", "stateMachines", "name"),
            ("events", "list_rules", "Rules", "Name"),
            ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
            ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
            ("apigatewayv2", "get_apis", "Items", "Name"),
        )
        for name in listed(*kind)
    )
