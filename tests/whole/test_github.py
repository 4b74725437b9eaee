"""What GitHub is told to do: the tests that contributors run, and a deployment that verifies before it promotes."""

from __future__ import annotations

from typing import Any

import yaml

from local.launch import PROJECT

GITHUB = PROJECT / ".github"


def read(name: str) -> dict[str, Any]:
    """A file under .github; YAML takes the key `on` for true."""
    found: dict[str, Any] = yaml.safe_load((GITHUB / name).read_text())
    return {"on" if str(key) == "True" else key: value for key, value in found.items()}


def runs(job: dict[str, Any]) -> list[str]:
    """A job's commands in order."""
    return [step["run"] for step in job["steps"] if "run" in step]


def test_each_push_and_pull_request_runs_what_contributors_run() -> None:
    workflow = read("workflows/test.yml")
    assert set(workflow["on"]) == {"push", "pull_request"}
    assert workflow["permissions"] == {"contents": "read"}
    assert "npm test" in runs(workflow["jobs"]["test"])


def test_a_release_is_built_twice_compared_checked_and_signed() -> None:
    workflow = read("workflows/release.yml")
    build, release = workflow["jobs"]["build"], workflow["jobs"]["release"]
    assert workflow["on"] == {"push": {"tags": ["v*"]}}
    assert build["strategy"]["matrix"]["place"] == ["first", "second"]
    assert "permissions" not in build  # what builds may write nothing
    assert release["needs"] == "build"
    done = [step.get("uses", step.get("run", "")).partition("@")[0] for step in release["steps"]]
    wanted = [
        "diff --recursive built/first built/second",
        "JsonStrictValidator",
        "scripts/advisories built/first/keras-classifier.cdx.json",
        "actions/attest-build-provenance",
        "gh release create",
    ]
    places = [next(number for number, each in enumerate(done) if one in each) for one in wanted]
    assert places == sorted(places)


def test_advisories_are_asked_for_each_week() -> None:
    workflow = read("workflows/advisories.yml")
    assert set(workflow["on"]) == {"workflow_dispatch", "schedule"}
    assert runs(workflow["jobs"]["ask"])[:3] == ["npm run setup", "scripts/package", "scripts/advisories --update"]


def test_the_example_deploys_without_a_key_and_promotes_what_was_verified() -> None:
    workflow = read("examples/deploy.yml")
    dev, prod = workflow["jobs"]["dev"], workflow["jobs"]["prod"]
    assert workflow["permissions"] == {"contents": "read", "id-token": "write"}
    assert "secrets." not in (GITHUB / "examples" / "deploy.yml").read_text()
    assert all("role-to-assume" in str(job["steps"]) for job in (dev, prod))
    assert prod["needs"] == "dev"
    assert runs(dev)[-1].startswith("scripts/models verify ")
    assert runs(prod)[-1].startswith("scripts/models promote ")
    assert (dev["environment"], prod["environment"]) == ("dev", "prod")
    # The first run has no model yet.
    assert all("vars.MODEL_PLACE != ''" in job["steps"][-1]["if"] for job in (dev, prod))


def test_updates_are_asked_for_both_kinds_of_packages() -> None:
    updates = {item["package-ecosystem"]: item["directory"] for item in read("dependabot.yml")["updates"]}
    assert updates == {"pip": "/", "npm": "/", "github-actions": "/"}


def test_every_form_asks_for_something_and_needs_an_answer() -> None:
    forms = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))
    assert [form.stem for form in forms] == ["fault", "wish"]
    for form in forms:
        fields = [item for item in read(f"ISSUE_TEMPLATE/{form.name}")["body"] if item["type"] != "markdown"]
        assert any(item.get("validations", {}).get("required") for item in fields)
