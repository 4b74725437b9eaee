"""How long the first reply of a fresh sandbox takes, and how much memory: both engines, the floor, the stock layout.

INIT and the first event's duration together, as Lambda's REPORT line has them. The floor is a handler on the same
runtime client that imports numpy, Pillow and LiteRT, reads the same model from local disk and classifies the same
picture. The stock layout gets its model from local disk, too, and is not stopped when INIT passes Lambda's 10 s.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from typing import TYPE_CHECKING

from classifier.engines.litert_engine import MEGABYTES_A_CORE
from local.function import Function
from local.launch import Code
from tools.benchmarks import stock
from tools.benchmarks.bundles import bundle, compiled_form
from tools.benchmarks.code import described, floor_code, floor_libraries, our_code, whole_code
from tools.benchmarks.result import Options, Result, median, ratio
from tools.benchmarks.sandboxes import (
    SAMPLE,
    Cold,
    classify_function,
    no_init_limit,
    sandboxes,
    start_cold,
    start_ready,
    storage,
    upload_event,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local.cloud import LocalLambda
    from local.s3 import LocalS3

type Starts = dict[str, list[Cold]]

SIZES = ["demo", "MobileNetV2", "EfficientNetV2B0", "ResNet50"]
"""Models of 3, 14, 29 and 102 MB."""
STOCK = ["demo", "MobileNetV2", "ResNet50", "InceptionV3"]
WARM = 20


def run(options: Options) -> Result:
    """Both parts, or the one that `options.only` names: litert, tensorflow."""
    medians: dict[str, float] = {}
    ratios: dict[str, float] = {}
    runs = options.count(15)
    with no_init_limit(), storage() as s3:
        if options.only in (None, "tensorflow"):
            _tensorflow(options, s3, medians, ratios)
        if options.only in (None, "litert"):
            _litert(options, s3, runs, medians, ratios)
    if {"litert_cold_ms", "stock_demo_cold_ms"} <= medians.keys():
        ratios["litert_cold_over_stock"] = ratio(medians["litert_cold_ms"], medians["stock_demo_cold_ms"])
    notes = [described(options), "INIT and duration of the first event; stock without INIT's limit of 10 s"]
    return Result(name="cold_start", runs=runs, medians=medians, ratios=ratios, notes=notes)


def _litert(options: Options, s3: LocalS3, runs: int, medians: dict[str, float], ratios: dict[str, float]) -> None:
    names = ["demo", "MobileNetV2"] if options.quick else SIZES
    bundles = {name: bundle(name, options.work, compiled=True) for name in names}
    starts: Starts = defaultdict(list)
    ready: list[list[float]] = []
    with ExitStack() as stack:
        clouds: dict[str, LocalLambda] = {}
        for name, folder in bundles.items():
            function = classify_function(s3, folder, f"bench-litert-{name.lower()}", ENGINE="auto")
            clouds[name] = stack.enter_context(sandboxes(function, our_code(options), s3))
        floor = _floor_function(function.memory_mb, compiled_form(bundles["demo"]))
        clouds["floor"] = stack.enter_context(sandboxes(floor, floor_code(options), s3))
        isolated = our_code(options).isolated
        _alternate(clouds, starts, runs, [our_code(options).root, floor_libraries(options)] if isolated else [])
        event = upload_event(SAMPLE.read_bytes())
        ready += [start_ready(clouds["demo"], event, WARM) for _ in range(runs)]
    for name in bundles:
        assert {cold.body["model"]["engine"] for cold in starts[name]} == {"litert"}
    paired = zip(starts["demo"], starts["floor"], strict=True)
    ratios["litert_cold_over_floor"] = median(_ms(ours) / _ms(floor) for ours, floor in paired)
    medians["litert_cold_ms"] = median(map(_ms, starts["demo"]))
    medians["litert_init_ms"] = median(cold.report.init_ms or 0.0 for cold in starts["demo"])
    medians["floor_cold_ms"] = median(map(_ms, starts["floor"]))
    medians["floor_init_ms"] = median(cold.report.init_ms or 0.0 for cold in starts["floor"])
    medians["litert_ready_ms"] = median(first for first, *_ in ready)
    medians["litert_warm_ms"] = median(median(warm) for _, *warm in ready)
    ratios["litert_ready_over_warm"] = median(first / median(warm) for first, *warm in ready)
    for name in bundles:
        key = "litert_demo" if name == "demo" else f"litert_{name.lower()}"
        medians[f"{key}_cold_ms"] = median(map(_ms, starts[name]))
        medians[f"{key}_peak_mb"] = median(cold.report.max_memory_mb for cold in starts[name])
    medians["litert_peak_mb"] = medians["litert_mobilenetv2_peak_mb"]
    medians["floor_peak_mb"] = median(cold.report.max_memory_mb for cold in starts["floor"])
    medians |= _phases("litert", starts["demo"])


def _tensorflow(options: Options, s3: LocalS3, medians: dict[str, float], ratios: dict[str, float]) -> None:
    layout = options.stock or stock.layout(options.work)
    for name in ["demo"] if options.quick else STOCK:
        runs = options.count(3)
        starts = _against_stock(options, s3, name, layout, runs)
        key = name.lower()
        for side in ("tensorflow", "stock"):
            medians[f"{side}_{key}_cold_ms"] = median(map(_ms, starts[side]))
            medians[f"{side}_{key}_peak_mb"] = median(cold.report.max_memory_mb for cold in starts[side])
            medians |= _phases(f"{side}_{key}", starts[side])
        suffix = "" if name == "demo" else f"_{key}"
        for what, unit in (("cold", "cold_ms"), ("peak", "peak_mb"), ("unpack", "unpack_ms")):
            ours, theirs = medians.get(f"tensorflow_{key}_{unit}"), medians[f"stock_{key}_{unit}"]
            if ours is not None:
                label = f"unpack_over_stock{suffix}" if what == "unpack" else f"tensorflow_{what}_over_stock{suffix}"
                ratios[label] = ratio(ours, theirs)


def _against_stock(options: Options, s3: LocalS3, name: str, layout: Path, runs: int) -> Starts:
    folder = bundle(name, options.work)
    ours = classify_function(s3, folder, f"bench-tensorflow-{name.lower()}", ENGINE="tensorflow")
    theirs = Function(
        name="stock",
        handler="stock.classify",
        memory_mb=ours.memory_mb,
        timeout_s=ours.timeout_s,
        environment={"BUNDLE": str(folder)},
    )
    starts: Starts = defaultdict(list)
    code = whole_code(options)  # scripts/bench pack has the other place for the pack
    with (
        sandboxes(ours, code, s3) as our_cloud,
        sandboxes(theirs, Code(root=layout, isolated=True, wrap=options.wrap), s3) as stock_cloud,
    ):
        clouds = {"tensorflow": our_cloud, "stock": stock_cloud}
        _alternate(clouds, starts, runs, [layout, *([code.root] if code.isolated else [])], stock.forget_unpacked)
    assert {cold.body["model"]["engine"] for cold in starts["tensorflow"]} == {"tensorflow"}
    return starts


def _alternate(
    clouds: dict[str, LocalLambda],
    starts: Starts,
    runs: int,
    forget: list[Path],
    before: Callable[[], None] = lambda: None,
) -> None:
    """Start each in turn, so that what else the machine does meets all alike."""
    event = upload_event(SAMPLE.read_bytes())
    for _ in range(runs):
        for name, cloud in clouds.items():
            before()
            starts[name].append(start_cold(cloud, event, *forget))
            cloud.stop_sandboxes()
            before()


def _floor_function(memory_mb: int, model: Path) -> Function:
    threads = max(1, memory_mb // MEGABYTES_A_CORE)
    variables = {"MODEL_FILE": str(model), "THREADS": str(threads)}
    return Function(name="floor", handler="floor.classify", memory_mb=memory_mb, timeout_s=60, environment=variables)


def _ms(cold: Cold) -> float:
    return cold.report.duration_ms + (cold.report.init_ms or 0.0)


def _phases(prefix: str, starts: list[Cold]) -> dict[str, float]:
    """The median of each phase that the replies name."""
    rows = [cold.body["timings_ms"] for cold in starts]
    return {f"{prefix}_{phase}_ms": median(row[phase] for row in rows) for phase in rows[0] if phase in rows[-1]}
