"""What it costs TensorFlow's cold start that its pack lies in S3: beside today's, with the pack in the package.

Both run the built package in fresh sandboxes, in turns, the package's files out of the page cache. S3 is the local one,
as fast as it is for the pack in the package, and for the one in S3 at the pace and distance that Lambda sees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from classifier.bootstrap import archive
from tools.benchmarks.bundles import bundle
from tools.benchmarks.code import described, our_code, pack_apart, whole_code
from tools.benchmarks.result import Options, Result, median, ratio
from tools.benchmarks.sandboxes import (
    SAMPLE,
    Cold,
    classify_function,
    no_init_limit,
    sandboxes,
    start_cold,
    storage,
    upload_event,
)
from tools.benchmarks.throttled import BYTES_A_SECOND, WAIT_S, ThrottledS3

if TYPE_CHECKING:
    from pathlib import Path

    from local.cloud import LocalLambda
    from local.s3 import LocalS3

SIDES = ("beside", "apart")


def run(options: Options) -> Result:
    """Cold starts by either side, and how long unpacking took of each."""
    pack = pack_apart(options)
    if pack is None:
        raise SystemExit("scripts/bench pack: needs a package built with `pack=bucket`, its packs beside it")
    throttled = ThrottledS3()
    throttled.start()
    try:
        with no_init_limit(), storage() as s3:
            starts = _alternated(options, s3, throttled, pack)
    finally:
        throttled.stop()
    medians = {f"{side}_cold_ms": median(map(_ms, starts[side])) for side in SIDES}
    medians |= {
        f"{side}_unpack_ms": median(cold.body["timings_ms"]["unpack"] for cold in starts[side]) for side in SIDES
    }
    medians |= {f"{side}_peak_mb": median(cold.report.max_memory_mb for cold in starts[side]) for side in SIDES}
    medians["pack_bytes"] = pack.stat().st_size
    medians["transfer_at_least_ms"] = 1000 * pack.stat().st_size / BYTES_A_SECOND
    pairs = list(zip(starts["apart"], starts["beside"], strict=True))
    ratios = {
        "tensorflow_apart_over_beside": median(_ms(apart) / _ms(beside) for apart, beside in pairs),
        "unpack_apart_over_transfer": ratio(medians["apart_unpack_ms"], medians["transfer_at_least_ms"]),
    }
    notes = [described(options), f"S3 at {BYTES_A_SECOND // 1_000_000} MB/s and {WAIT_S * 1000:.0f} ms; demo model"]
    return Result(name="pack", runs=len(pairs), medians=medians, ratios=ratios, notes=notes)


def _alternated(options: Options, s3: LocalS3, throttled: ThrottledS3, pack: Path) -> dict[str, list[Cold]]:
    folder = bundle("demo", options.work)
    beside = classify_function(s3, folder, "bench-pack-beside", ENGINE="tensorflow")
    apart = classify_function(throttled, folder, "bench-pack-apart", ENGINE="tensorflow")
    digest = archive.digest_of(pack)
    place = f"/{apart.environment['PACK_BUCKET']}/{apart.environment['PACK_PREFIX']}{digest}"
    throttled.files[place] = pack
    event, starts = upload_event(SAMPLE.read_bytes()), {side: list[Cold]() for side in SIDES}
    whole, light = whole_code(options), our_code(options)
    with sandboxes(beside, whole, s3) as in_package, sandboxes(apart, light, throttled) as in_bucket:
        clouds: dict[str, LocalLambda] = {"beside": in_package, "apart": in_bucket}
        for _ in range(options.count(5)):
            for side, cloud in clouds.items():
                starts[side].append(start_cold(cloud, event, whole.root, light.root))
                cloud.stop_sandboxes()
    return starts


def _ms(cold: Cold) -> float:
    return cold.report.duration_ms + (cold.report.init_ms or 0.0)
