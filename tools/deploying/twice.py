"""Our own code alone, in both stages at once: each is deployed, filled, deployed again with a change, and removed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from local.deployment import Deployment, expect, inventory, light_copy
from tools.deploying.steps import empty, given, step, versions

if TYPE_CHECKING:
    from pathlib import Path

    from local.aws import LocalAws

STAGES: dict[str, list[str]] = {"dev": [], "prod": ["ModelBucket", "ImageBucket"]}
"""The stages that there are, and the buckets that removing them leaves; dead letters are left with them."""
SWITCHED: dict[str, list[str]] = {
    "dev": [],
    "prod": [
        "bulkQueue=true",
        "bulkMap=true",
        "canaryAlarm=20",
        "subnets=subnet-0123456789abcdef0,subnet-0123456789abcdef1",
        "securityGroups=sg-0123456789abcdef0",
        "permissionsBoundary=arn:aws:iam::123456789012:policy/boundary",
        "rolePath=/teams/vision/",
        "modelKey=arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-0000-4000-8000-000000000000",
        "tags=team=vision",
    ],
}
"""What each stage is deployed with beside its defaults: one as it comes, one as a company asks for."""
ALARMED = "alarmTopic=arn:aws:sns:us-east-1:123456789012:alarms"


def check(aws: LocalAws, folder: Path) -> None:
    """Both stages; prod's buckets stay with what is in them, and once they are deleted nothing is left."""
    before = inventory(aws)
    with step(f"deploy, fill, deploy again and remove {' and '.join(STAGES)}"), ThreadPoolExecutor() as pool:
        folders = {stage: folder / stage for stage in STAGES}
        for each in folders.values():
            each.mkdir()
        deployments = [Deployment(aws, stage, light_copy(folders[stage])) for stage in STAGES]
        kept = [name for names in pool.map(_live, deployments) for name in names]
    client = aws.client()
    with step(f"delete what is meant to stay: {len(kept)} buckets and the dead letters of prod"):
        left = inventory(aws) - before
        queues = {name for name in left if name.startswith("sqs ") and "BulkDeadQueue" in name}
        expect(len(queues) == 1, f"`serverless remove` should have left the dead letters of prod: {sorted(left)}")
        expect(left - queues == {f"s3 {name}" for name in kept}, f"`serverless remove` left {sorted(left)}, not {kept}")
        aws.client("sqs").delete_queue(QueueUrl=queues.pop().removeprefix("sqs "))
        for name in kept:
            expect(versions(aws, name) == 2, f"{name} lost what was in it")
        empty(aws, *kept)
        for name in kept:
            client.delete_bucket(Bucket=name)
        expect(inventory(aws) == before, f"left at last: {sorted(inventory(aws) - before)}")


def _live(deployment: Deployment) -> list[str]:
    """A stage's whole life; returns the names of the buckets that outlive it."""
    switched = given(SWITCHED[deployment.stage])
    deployment.deploy(*switched)
    first = deployment.function("classify")[1]
    buckets = {logical: deployment.bucket(logical) for logical in ("ModelBucket", "ImageBucket")}
    client = deployment.aws.client()
    for name in buckets.values():
        deployment.aws.create_bucket(name)  # it is there; moto overlooks the template's VersioningConfiguration
        for body in (b"first", b"second"):
            client.put_object(Bucket=name, Key="a/key", Body=body)
    deployment.deploy("--param", "memory=1024", "--param", ALARMED, *switched)
    again = deployment.function("classify")[1]
    expect((first.memory_mb, again.memory_mb) == (2048, 1024), f"memory was {first.memory_mb}, is {again.memory_mb}")
    expect(first.environment == again.environment, f"the environment is another: {again.environment}")
    for name in buckets.values():
        expect(versions(deployment.aws, name) == 2, f"the second deployment changed what is in {name}")
    if deployment.stage == "prod":
        _expect_company(deployment)
    kept = [buckets[logical] for logical in STAGES[deployment.stage]]
    if not kept:
        empty(deployment.aws, *buckets.values())
    deployment.remove()
    return kept


def _expect_company(deployment: Deployment) -> None:
    """What a company asked for is in the functions and their roles as AWS has them."""
    asked = dict(one.split("=", 1) for one in SWITCHED["prod"])
    for name in ("classify", "compile", "bulk", "abort"):
        found = deployment.aws.client("lambda").get_function(FunctionName=f"{deployment.stack}-{name}")
        network = found["Configuration"]["VpcConfig"]
        ids = ",".join(network["SubnetIds"]), ",".join(network["SecurityGroupIds"])
        expect(ids == (asked["subnets"], asked["securityGroups"]), f"{name} is in the network {ids}")
        role = deployment.aws.client("iam").get_role(RoleName=found["Configuration"]["Role"].rpartition("/")[2])["Role"]
        bound = role["Path"], role["PermissionsBoundary"]["PermissionsBoundaryArn"]
        expect(bound == (asked["rolePath"], asked["permissionsBoundary"]), f"the role of {name} is {bound}")
    (stack,) = deployment.aws.client("cloudformation").describe_stacks(StackName=deployment.stack)["Stacks"]
    expect({"Key": "team", "Value": "vision"} in stack["Tags"], f"the stack has the tags {stack['Tags']}")
