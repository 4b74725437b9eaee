"""Functions and buckets as serverless.yml states them, so that local and deployed settings can't drift."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from local.account import ACCOUNT, REGION
from local.event_bridge import FILTERS, EventRule
from local.framework import TemplateError, stated
from local.function import Function
from local.launch import PROJECT
from local.s3_changes import S3Trigger

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


DEPLOYMENT_BUCKET = "ServerlessDeploymentBucket"
"""The framework's own bucket, which it adds to every stack."""


@dataclass(frozen=True, slots=True)
class Template:
    """What was read: the first function is the one with the HTTP routes; `buckets` are names by logical id."""

    functions: tuple[Function, ...]
    buckets: Mapping[str, str]


def read_template(stage: str = "dev", *, suffix: str = "", project: Path = PROJECT) -> Template:
    """Return the functions of a stage; `suffix` is appended to names of buckets, as CloudFormation does."""
    return _functions(stated(stage, project), stage, suffix)


def _functions(printed: dict[str, Any], stage: str, suffix: str) -> Template:
    resources = printed.get("resources", {}).get("Resources", {})
    stack = f"{printed['service']}-{stage}"
    buckets = {
        logical: resource.get("Properties", {}).get("BucketName") or f"{stack}-{logical.lower()}{suffix}"
        for logical, resource in resources.items()
        if resource.get("Type") == "AWS::S3::Bucket"
    }
    buckets[DEPLOYMENT_BUCKET] = f"{stack}-deployment{suffix}"
    resolver = Resolver(buckets)
    functions = [
        _function(one, printed["provider"], resolver, _notified(logical, resources, resolver))
        for logical, one in printed["functions"].items()
    ]
    with_http = _http_names(printed)
    return Template(tuple(sorted(functions, key=lambda one: one.name not in with_http)), buckets)


def _http_names(printed: dict[str, Any]) -> set[str]:
    return {
        one["name"]
        for one in printed["functions"].values()
        if one.get("url") or any({"httpApi", "http", "alb"} & set(event) for event in one.get("events", []))
    }


def _function(one: dict[str, Any], provider: dict[str, Any], resolver: Resolver, notified: list[S3Trigger]) -> Function:
    variables = {**provider.get("environment", {}), **one.get("environment", {})}
    return Function(
        name=one["name"],
        handler=one["handler"],
        memory_mb=int(one.get("memorySize") or provider.get("memorySize") or 1024),
        timeout_s=float(one.get("timeout") or provider.get("timeout") or 6),
        tmp_mb=int(one.get("ephemeralStorageSize") or provider.get("ephemeralStorageSize") or 512),
        concurrency=None if (reserved := one.get("reservedConcurrency")) is None else int(reserved),
        environment={name: resolver.text(value) for name, value in variables.items()},
        triggers=(*(_trigger(event["s3"], resolver) for event in one.get("events", []) if "s3" in event), *notified),
        rules=tuple(_rule(event["eventBridge"], resolver) for event in one.get("events", []) if _on_bus(event)),
    )


def _on_bus(event: dict[str, Any]) -> bool:
    return "pattern" in event.get("eventBridge", {})


def _rule(event: dict[str, Any], resolver: Resolver) -> EventRule:
    def resolved(part: Any) -> Any:  # noqa: ANN401
        if isinstance(part, list):
            return [one if isinstance(one, dict) and FILTERS & one.keys() else resolver.text(one) for one in part]
        return {name: resolved(value) for name, value in part.items()}

    return EventRule(resolved(event["pattern"]))


def _notified(function: str, resources: dict[str, Any], resolver: Resolver) -> list[S3Trigger]:
    """Return the triggers that buckets name in their own NotificationConfiguration."""
    logical = function[:1].upper() + function[1:].replace("-", "Dash").replace("_", "Underscore") + "LambdaFunction"
    found = []
    for bucket in resolver.buckets:
        notification = resources.get(bucket, {}).get("Properties", {}).get("NotificationConfiguration", {})
        for one in notification.get("LambdaConfigurations", []):
            if one["Function"] in ({"Fn::GetAtt": [logical, "Arn"]}, {"Fn::GetAtt": f"{logical}.Arn"}):
                rules = one.get("Filter", {}).get("S3Key", {}).get("Rules", [])
                named = {rule["Name"].lower(): resolver.text(rule["Value"]) for rule in rules}
                found.append(S3Trigger(bucket=resolver.buckets[bucket], event=one["Event"], **named))
    return found


def _trigger(event: dict[str, Any] | str, resolver: Resolver) -> S3Trigger:
    if isinstance(event, str):
        return S3Trigger(bucket=resolver.buckets.get(event, event))
    rules = {name: value for rule in event.get("rules", []) for name, value in rule.items()}
    bucket = resolver.text(event["bucket"])
    return S3Trigger(
        bucket=resolver.buckets.get(bucket, bucket),
        event=event.get("event", "s3:ObjectCreated:*"),
        prefix=resolver.text(rules.get("prefix", "")),
        suffix=resolver.text(rules.get("suffix", "")),
    )


@dataclass(frozen=True, slots=True)
class Resolver:
    """CloudFormation's Ref, GetAtt, Sub and Join, as far as buckets and pseudo parameters go."""

    buckets: Mapping[str, str]

    def text(self, value: object) -> str:
        """Return the text that a value stands for; TemplateError when it names something that isn't here."""
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, str | int | float):
            return str(value)
        if not isinstance(value, dict) or len(value) != 1:
            raise TemplateError(f"serverless.yml: {value!r} is neither a text nor a function of CloudFormation")
        (kind, argument), *_ = cast("dict[str, Any]", value).items()
        if kind == "Ref":
            return self._named(argument)
        if kind == "Fn::GetAtt":
            name, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
            return self._named(f"{name}.{attribute}")
        if kind == "Fn::Join":
            return str(argument[0]).join(self.text(part) for part in argument[1])
        if kind == "Fn::Sub" and isinstance(argument, str):
            return re.sub(r"\$\{([^!}][^}]*)\}", lambda match: self._named(match[1]), argument)
        raise TemplateError(f"serverless.yml: {kind} has no meaning in the local Lambda")

    def _named(self, name: str) -> str:
        known = {
            "AWS::Region": REGION,
            "AWS::AccountId": ACCOUNT,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
        }
        for logical, bucket in self.buckets.items():
            known |= {logical: bucket, f"{logical}.Arn": f"arn:aws:s3:::{bucket}"}
        if name not in known:
            raise TemplateError(f"serverless.yml: {name} has no meaning in the local Lambda")
        return known[name]
