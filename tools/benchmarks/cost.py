"""Dollars per million requests: measured billed times, AWS's prices, memory sizes and shares of cold starts.

Here a process has whole cores; Lambda gives a function memory/1769 of one. Times are therefore stretched by that factor
below 1769 MB, and not shortened above it: the picture's way through the function is mostly single-threaded.
"""

from __future__ import annotations

from classifier.engines.litert_engine import MEGABYTES_A_CORE
from tools.benchmarks.bundles import bundle
from tools.benchmarks.code import described, our_code
from tools.benchmarks.result import Options, Result, median, ratio
from tools.benchmarks.sandboxes import (
    SAMPLE,
    classify_function,
    no_init_limit,
    sandboxes,
    start_cold,
    storage,
    upload_event,
)

PRICES = "us-east-1, x86, first tier, 2025-11: aws.amazon.com/lambda/pricing, aws.amazon.com/api-gateway/pricing"
GB_SECOND = 0.0000166667
LAMBDA_MILLION = 0.20
HTTP_API, REST_API, FUNCTION_URL = 1.00, 3.50, 0.0
"""Dollars per million requests. HTTP API: of up to 512 KB each; every further 512 KB count as one more."""
APIS = {
    "http": HTTP_API,
    "http-iam": HTTP_API,
    "http-jwt": HTTP_API,
    "rest": REST_API,
    "rest-key": REST_API,
    "url": FUNCTION_URL,
    "url-iam": FUNCTION_URL,
}
"""What each of serverless.yml's `api`s adds to Lambda's own price."""
POST_2018 = 40.0
"""Dollars per million of a well-known post of 2018 on TensorFlow in Lambda: "1 dollar for 25,000 predictions"."""
MEMORY_MB = (512, 1024, 1769, 2048, 3008)
COLD_SHARES = {"0pct": 0.0, "01pct": 0.001, "1pct": 0.01, "10pct": 0.1}
HEADLINE = "1pct"
WARM_CALLS = 100


def run(options: Options) -> Result:
    """Billed milliseconds of cold and warm uploads, and the dollars that they come to."""
    cold_ms, warm_ms, deployed_mb = _billed(options)
    medians = {"billed_cold_ms": cold_ms, "billed_warm_ms": warm_ms, "memory_mb": deployed_mb}
    for memory in MEMORY_MB:
        for name, share in COLD_SHARES.items():
            medians[f"dollars_per_million_{memory}mb_{name}_cold"] = dollars(warm_ms, cold_ms, memory, share)
    for api in APIS:
        key = f"dollars_per_million_{api.replace('-', '_')}"
        medians[key] = dollars(warm_ms, cold_ms, deployed_mb, COLD_SHARES[HEADLINE], api)
    medians["dollars_per_million"] = medians["dollars_per_million_http"]
    medians["dollars_per_million_2018_post"] = POST_2018
    ratios = {"dollars_over_2018_post": ratio(medians["dollars_per_million"], POST_2018)}
    notes = [
        described(options),
        f"prices: {PRICES}",
        f"dollars_per_million: serverless.yml's {deployed_mb} MB, 1 % cold, Lambda and HTTP API, uploads, demo model",
    ]
    return Result(name="cost", runs=options.count(9), medians=medians, ratios=ratios, notes=notes)


def dollars(warm_ms: float, cold_ms: float, memory_mb: int, cold_share: float, api: str = "http") -> float:
    """Dollars for a million requests through an API, `cold_share` of them cold; milliseconds on a whole core."""
    stretched = max(1.0, MEGABYTES_A_CORE / memory_mb)
    average_s = stretched * (cold_share * cold_ms + (1 - cold_share) * warm_ms) / 1000
    return round(1e6 * average_s * memory_mb / 1024 * GB_SECOND + LAMBDA_MILLION + APIS[api], 4)


def _billed(options: Options) -> tuple[float, float, int]:
    folder = bundle("demo", options.work, compiled=True)
    event = upload_event(SAMPLE.read_bytes())
    cold: list[int] = []
    warm: list[int] = []
    with no_init_limit(), storage() as s3:
        function = classify_function(s3, folder, "bench-cost")
        with sandboxes(function, our_code(options), s3) as cloud:
            for _ in range(options.count(9)):
                cold.append(start_cold(cloud, event).report.billed_ms)
                for _ in range(10 if options.quick else WARM_CALLS):
                    cloud.invoke(event)
                    warm.append(cloud.reports[-1].billed_ms)
    return median(cold), median(warm), function.memory_mb
