"""IAM as far as our roles go: which S3 action a request is, and which statement of a role's policy allows it.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.s3 import S3Request


@dataclass(frozen=True, slots=True)
class Call:
    """One use of an action on a resource; `prefix` is what a listing asks for."""

    action: str
    resource: str
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class Permission:
    """One action that a statement allows, on resources and under conditions with `*` in them."""

    action: str
    resource: str
    prefixes: tuple[str, ...] = field(default=())
    condition: str = ""
    """Of the template: without it the statement is not there."""

    def allows(self, call: Call) -> bool:
        """Whether it covers the call."""
        if self.prefixes and not (call.prefix is not None and any(fnmatchcase(call.prefix, p) for p in self.prefixes)):
            return False
        return self.action == call.action and fnmatchcase(call.resource, self.resource)


def call_of(request: S3Request) -> Call:
    """The action that IAM asks for before S3 answers `request`; ValueError for one that we never make."""
    bucket, _, key = unquote(request.path).removeprefix("/").partition("/")
    asked = parse_qs(request.query, keep_blank_values=True)
    arn = f"arn:aws:s3:::{bucket}"
    if request.method == "GET" and not key:
        action = "s3:ListBucketVersions" if "versions" in asked else "s3:ListBucket"
        return Call(action, arn, asked.get("prefix", [""])[0])
    if request.method in ("GET", "HEAD") and asked.keys() <= {"versionId"}:
        return Call("s3:GetObjectVersion" if "versionId" in asked else "s3:GetObject", f"{arn}/{key}")
    if request.method == "PUT" and key and not asked:
        return Call("s3:PutObject", f"{arn}/{key}")
    raise ValueError(f"no action is known for {request}")


def permissions(role: Mapping[str, Any], buckets: Mapping[str, str]) -> tuple[Permission, ...]:
    """What a role in the template allows; `buckets` are names by logical id."""

    def found() -> Iterator[Permission]:
        for policy in role["Properties"]["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                condition, one = statement["Fn::If"][:2] if "Fn::If" in statement else ("", statement)
                if one["Effect"] == "Deny":  # of what only Lambda itself may do with the role
                    continue
                assert one.get("Condition", {}).keys() <= {"StringLike"}
                given = one.get("Condition", {}).get("StringLike", {}).get("s3:prefix", [])
                prefixes = (given,) if isinstance(given, str) else tuple(given)
                actions = [one["Action"]] if isinstance(one["Action"], str) else one["Action"]
                resources = one["Resource"] if isinstance(one["Resource"], list) else [one["Resource"]]
                for action in actions:
                    for resource in resources:
                        yield Permission(action, _arn(resource, buckets), prefixes, condition)

    return tuple(found())


def _arn(resource: object, buckets: Mapping[str, str]) -> str:
    if isinstance(resource, str):
        return resource
    assert isinstance(resource, dict)
    if "Fn::GetAtt" in resource:
        name = resource["Fn::GetAtt"]
        return ".".join(name) if isinstance(name, list) else str(name)
    pattern, values = resource["Fn::Sub"]
    text: str = pattern.replace("${AWS::Partition}", "aws")
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value if isinstance(value, str) else buckets[value["Ref"]])
    return text
