"""What a model takes is known before: the rules at their edges, and what a refusal says."""

from __future__ import annotations

import re

import pytest

from classifier import function_memory, model_memory
from classifier.errors import ModelTooLargeError
from classifier.model_memory import COMPILING, IDLE_MB, LITERT, MB, TENSORFLOW, Room, Rule
from local.launch import PROJECT

PAGE = (PROJECT / "docs" / "operate" / "memory.md").read_text()
VGG16 = 138_357_544 * 4
"""Parameters with its top, of the size that keras.applications names."""


@pytest.fixture(autouse=True)
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function_memory, "resident", lambda: IDLE_MB * MB)


def test_the_documentation_states_these_rules_and_what_follows_from_them_by_size() -> None:
    stated = re.findall(r"\| ([\d.]+) x [^|]* \+ ([\d,]+) MB \|", PAGE)
    rules = (LITERT, TENSORFLOW, COMPILING)
    assert [(float(times), int(base)) for times, base in stated] == [(rule.times, rule.base_mb) for rule in rules]
    rows = re.findall(
        r"\| (\d+) \| ([\d,]+) \((\d+)\) \| ([\d,]+) \| ([\d,]+) \(([\d,]+)\) \| ([\d,]+)(?: \(([\d,]+)\))? \|", PAGE
    )
    assert len(rows) == 6
    for row in rows:
        weights, litert, litert_seen, swaps, tensorflow, tensorflow_seen, compiling, compiling_seen = (
            int((text or "0").replace(",", "")) for text in row
        )
        size = weights * MB
        assert [litert, tensorflow, compiling] == [pytest.approx(rule.peak_mb(size), abs=4) for rule in rules]
        assert swaps == pytest.approx(LITERT.peak_mb(2 * size), abs=4)
        assert litert_seen <= litert
        assert tensorflow_seen <= tensorflow
        assert compiling_seen <= compiling


@pytest.mark.parametrize("rule", [LITERT, TENSORFLOW, COMPILING])
def test_a_model_fits_to_the_megabyte(rule: Rule) -> None:
    needed = rule.peak_mb(VGG16)
    rule.check(VGG16, needed * MB)
    with pytest.raises(ModelTooLargeError) as refused:
        rule.check(VGG16, (needed - 1) * MB)
    assert refused.value.needed_mb == needed
    assert str(refused.value) == (
        f"{rule.name} needs {needed:,} MB for a model of 528 MB, the function has {needed - 1:,} MB: "
        f"raise the parameter `{rule.parameter}`"
    )


def test_the_parameters_named_are_those_of_the_template() -> None:
    assert (LITERT.parameter, TENSORFLOW.parameter, COMPILING.parameter) == ("memory", "memory", "compileMemory")


def test_the_bulk_function_has_a_parameter_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_HANDLER", "handler.classify_bulk")
    assert str(LITERT.refusal(VGG16, MB)).endswith("raise the parameter `bulkMemory`")
    assert str(COMPILING.refusal(VGG16, MB)).endswith("raise the parameter `compileMemory`")


def test_what_is_in_use_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new model is loaded beside the one that serves."""
    monkeypatch.setattr(function_memory, "resident", lambda: (IDLE_MB + 500) * MB)
    needed = LITERT.peak_mb(VGG16)
    LITERT.check(VGG16, (needed + 500) * MB)
    with pytest.raises(ModelTooLargeError, match="beside 500 MB that are in use"):
        LITERT.check(VGG16, (needed + 499) * MB)


def test_an_engine_that_is_loaded_already_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function_memory, "resident", lambda: TENSORFLOW.base_mb * MB)
    TENSORFLOW.check(VGG16, TENSORFLOW.peak_mb(VGG16) * MB, begun=True)
    with pytest.raises(ModelTooLargeError):
        TENSORFLOW.check(VGG16, TENSORFLOW.peak_mb(VGG16) * MB)


def test_a_layer_of_unusual_size_counts_three_times() -> None:
    usual = LITERT.layer_mb * MB
    assert LITERT.peak_mb(VGG16, usual) == LITERT.peak_mb(VGG16)
    assert LITERT.peak_mb(VGG16, usual + 100 * MB) == LITERT.peak_mb(VGG16) + 300
    room = Room(LITERT, (LITERT.peak_mb(VGG16) + 299) * MB)
    room.for_layers(VGG16, usual + 99 * MB)
    with pytest.raises(ModelTooLargeError, match=r"raise the parameter `memory`"):
        room.for_layers(VGG16, usual + 100 * MB)


def test_where_the_memory_is_not_known_everything_fits() -> None:
    COMPILING.check(1 << 40, model_memory.stated({}))
    assert model_memory.stated({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512"}) == 512 * MB
