"""`publish` says what memory the functions need, and uploads nothing that the deployed one has no room for."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from classifier.errors import ModelTooLargeError
from classifier.model_memory import COMPILING, LITERT, TENSORFLOW
from lifecycle import memory
from lifecycle.command import main
from lifecycle.place import Place
from lifecycle.release import as_bundle
from local.aws import LocalAws
from tests.support.compile_jobs import report_on
from tests.support.stand_ins import publish

WEIGHTS = 553_000_000
REPORT = report_on(as_bundle({"architecture.json": b"{}", "model.weights.h5": b"w"}), {"float32": bytes(1000)})


def test_the_needs_are_the_rules() -> None:
    needs = memory.needs_of(WEIGHTS, REPORT)
    assert needs.as_dict() == {
        "memory": {"litert": LITERT.peak_mb(1000), "tensorflow": TENSORFLOW.peak_mb(WEIGHTS)},
        "compileMemory": COMPILING.peak_mb(WEIGHTS),
    }
    assert str(needs) == "memory 46 MB by LiteRT, 1,405 MB by TensorFlow; compileMemory 2,446 MB"


def test_a_model_that_no_engine_has_room_for_is_refused_with_both_numbers() -> None:
    memory.refuse_what_cannot_fit(WEIGHTS, REPORT, 46)
    memory.refuse_what_cannot_fit(WEIGHTS, REPORT, None)
    with pytest.raises(ModelTooLargeError, match=r"LiteRT needs 46 MB .* has 45 MB: raise the parameter `memory`"):
        memory.refuse_what_cannot_fit(WEIGHTS, REPORT, 45)


def test_the_memory_of_a_stage_is_asked_of_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = LocalAws()
    aws.start()
    try:
        for name, value in {
            "AWS_ENDPOINT_URL": aws.endpoint,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        trust = {"Version": "2012-10-17", "Statement": []}
        role = aws.client("iam").create_role(RoleName="classify", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("handler.py", "")
        aws.client("lambda").create_function(
            FunctionName="keras-classifier-prod-classify",
            Runtime="python3.13",
            Role=role["Arn"],
            Handler="handler.classify",
            Code={"ZipFile": code.getvalue()},
            MemorySize=1536,
        )
        assert memory.deployed_mb("prod") == 1536
        assert memory.deployed_mb("dev") is None
        assert memory.deployed_mb("s3://bucket/models/prod") is None
    finally:
        aws.stop()


def test_show_tells_what_memory_a_version_needs(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    version = publish(place, 1).version
    capsys.readouterr()
    assert main(["show"]) == 0
    assert "Needs    memory 46 MB by LiteRT, 351 MB by TensorFlow; compileMemory 601 MB" in capsys.readouterr().out
    assert main(["show", "--version", version, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["needs"]
    assert told == {"memory": {"litert": 46, "tensorflow": 351}, "compileMemory": 601}
