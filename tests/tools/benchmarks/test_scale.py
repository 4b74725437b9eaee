"""docs/operate/cost.md's numbers are what tools/benchmarks/scale.py computes."""

from __future__ import annotations

import re

import pytest

from local.launch import PROJECT
from tools.benchmarks.scale import break_even_millions, container_month, lambda_month

PAGE = (PROJECT / "docs" / "operate" / "cost.md").read_text()
TABLE = PAGE.partition("<!-- cost:")[2].partition("-->")[2].strip().split("\n\n")[0].splitlines()[2:]
A_THOUSAND_A_SECOND = 730 * 3600 / 1000
RPS_A_CORE = 155.0


def test_the_months_are_computed() -> None:
    for line in TABLE:
        _, millions, billed_ms, *told = (cell.strip() for cell in line.strip("|").split("|"))
        month = lambda_month(float(millions), float(billed_ms))
        digits = 2 if month["total"] < 10 else 0
        assert told == [f"{value:.{digits}f}" for value in month.values()]
    assert len(TABLE) == 8


def test_the_break_even_is_computed() -> None:
    crossing = break_even_millions(7.1, RPS_A_CORE)
    assert f"cross at {crossing} million uploads a month, {crossing / 2.628:.0f} a second" in PAGE
    many = container_month(A_THOUSAND_A_SECOND, RPS_A_CORE)
    assert f"{many['workers']:.0f} workers, ${many['total']:,.0f}" in PAGE
    idle = container_month(0.0, RPS_A_CORE)
    assert f"${idle['total']:.0f} a month" in PAGE.replace("\n", " ")
    assert f"{2 * RPS_A_CORE * 0.6:.0f} uploads a second" in PAGE
    assert f"${lambda_month(1, 7.1)['total']:.2f} a million" in PAGE


@pytest.mark.parametrize(("millions", "dollars"), [(300.0, 300.0), (301.0, 300.9)])
def test_the_gateways_price_falls_after_the_first_300_million(millions: float, dollars: float) -> None:
    assert lambda_month(millions, 7.0)["api"] == pytest.approx(dollars)


def test_the_measured_table_is_in_the_page_with_its_command() -> None:
    page = (PROJECT / "docs" / "operate" / "scale.md").read_text()
    assert re.search(rf"\| requests a second that leaves room for \| {RPS_A_CORE:.0f} \|", page)
    assert "scripts/bench serve" in page
