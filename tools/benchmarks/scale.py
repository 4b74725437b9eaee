"""What a month of traffic comes to on Lambda, and on containers behind a balancer: docs/operate/scale.md's arithmetic.

The same prices as `cost`, and what that leaves out: the log, which is a third of a quick request's price.
"""

from __future__ import annotations

import math

from tools.benchmarks.cost import GB_SECOND, HTTP_API, LAMBDA_MILLION

PRICES = "us-east-1, x86, 2025-11: aws.amazon.com/cloudwatch/pricing, /fargate/pricing, /elasticloadbalancing/pricing"
HOURS = 730.0
MEMORY_GB = 2.0
LINE_BYTES, LAMBDA_BYTES, ACCESS_BYTES = 735, 340, 330
"""A request's own line, Lambda's START, END and REPORT, and the HTTP API's access log."""
LOG_GB = 0.50
HTTP_API_FIRST, HTTP_API_REST_MILLION = 300.0, 0.90
"""Millions a month at the first price, and the price of those above."""
VCPU_GB_HOUR = 0.04048 + 2 * 0.004445
"""Fargate: one vCPU with 2 GB."""
BALANCER_HOUR, LCU_HOUR, LCU_GB = 0.0225, 0.008, 1.0
"""Application Load Balancer; a capacity unit is 1 GB an hour (or 25 new connections a second)."""
UPLOAD_BYTES = 26_000
BUSY = 0.6
LEAST_WORKERS = 2


def lambda_month(millions: float, billed_ms: float) -> dict[str, float]:
    """Dollars a month for `millions` of requests that are billed `billed_ms` each, cold starts among them."""
    parts = {
        "lambda": millions * (LAMBDA_MILLION + billed_ms * 1000 * MEMORY_GB * GB_SECOND),
        "api": min(millions, HTTP_API_FIRST) * HTTP_API + max(0.0, millions - HTTP_API_FIRST) * HTTP_API_REST_MILLION,
        "logs": millions * (LINE_BYTES + LAMBDA_BYTES + ACCESS_BYTES) / 1000 * LOG_GB,
    }
    return parts | {"total": sum(parts.values())}


def container_month(millions: float, rps_a_core: float) -> dict[str, float]:
    """Dollars a month for evenly spread requests, one worker a vCPU; uploads pass the load balancer."""
    a_second = millions * 1e6 / (HOURS * 3600)
    workers = max(LEAST_WORKERS, math.ceil(a_second / (rps_a_core * BUSY)))
    units = max(a_second * UPLOAD_BYTES * 3600 / 1e9 / LCU_GB, a_second / 25)
    parts = {
        "workers": float(workers),
        "containers": workers * VCPU_GB_HOUR * HOURS,
        "balancer": HOURS * (BALANCER_HOUR + units * LCU_HOUR),
        "logs": millions * LINE_BYTES / 1000 * LOG_GB,
    }
    return parts | {"total": sum(parts.values()) - workers}


def break_even_millions(billed_ms: float, rps_a_core: float) -> float:
    """From how many millions a month on containers cost less, to half a million."""
    millions = 0.5
    while lambda_month(millions, billed_ms)["total"] < container_month(millions, rps_a_core)["total"]:
        millions += 0.5
    return millions
