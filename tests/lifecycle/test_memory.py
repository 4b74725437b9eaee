"""`publish` says what memory the functions need, and uploads nothing that the deployed one has no room for."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from classifier.errors import ModelTooLargeError
from classifier.model_memory import COMPILING, IDLE_MB, LITERT, MB, TENSORFLOW
from lifecycle import memory, record
from lifecycle.command import main
from lifecycle.place import Place
from lifecycle.release import as_bundle
from lifecycle.timeline import read_timeline
from local.aws import LocalAws
from tests.conftest import Bucket
from tests.support.compile_jobs import report_on
from tests.support.stand_ins import publish, release

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


@pytest.mark.parametrize("compiled", [True, False])
def test_a_canary_is_refused_where_both_models_have_no_room(
    place: Place, bucket: Bucket, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    prod = Place(bucket.name, "models/prod/", bucket.boto)
    publish(prod, 1)
    publish(place, 2)
    stable, candidate = release(1), release(2)
    assert stable.report is not None
    if compiled:
        own, held = LITERT.peak_mb(len(candidate.compiled["model.tflite"])), stable.report.model_bytes * 14 // 10 // MB
    else:
        bucket.boto.delete_object(Bucket=bucket.name, Key=f"models/prod/compiled/{stable.version}/report.json")
        own = LITERT.peak_mb(len(candidate.compiled["model.tflite"]))
        held = 2 * len(stable.files["model.weights.h5"]) // MB + TENSORFLOW.base_mb - IDLE_MB
    asked = ["promote", "--from", "dev", "--to", "prod", "--canary", "10"]
    monkeypatch.setattr(memory, "deployed_mb", {"prod": own + held - 1}.get)
    assert main(asked) != 0
    said = capsys.readouterr().err
    assert f"LiteRT needs {own} MB" in said
    assert f"the function has {own + held - 1} MB: raise the parameter `memory`" in said
    assert record.read_current(prod) is not None
    monkeypatch.setattr(memory, "deployed_mb", {"prod": own + held}.get)
    assert main([*asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["needs"] == {"both": {"memory": own + held, "stable": held}}


def test_a_canary_by_tensorflow_beside_one_by_tensorflow_has_it_in_memory_once(place: Place) -> None:
    publish(place, 1)
    found = memory.needs_beside(read_timeline(place), 100 * MB, None)
    assert (found.rule, found.total_mb) == (TENSORFLOW, TENSORFLOW.peak_mb(100 * MB))
    assert str(found) == "memory 550 MB: 550 by TensorFlow for it, 0 for the stable model"


def test_a_stage_is_known_by_its_models_folder(place: Place) -> None:
    named = [memory.stage_of(Place("b", prefix, None)) for prefix in ("models/prod/", "models/prod/cats/", "ours/v1/")]
    assert named == ["prod", "prod", "v1"]
    assert memory.stage_of(place) == "dev"
