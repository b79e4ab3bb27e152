"""The oracle gives the numbers that are written down for each declared feature: a bound changes on purpose only."""

import json

import pytest

from tests.oracle.pinned_formulas import FILE, FORMATS, FORMULAS, quantities

WRITTEN = json.loads(FILE.read_text())
CLOSE = 1e-8  # libraries differ by some of float64's last digits; one rounding more or less changes a sum by far more


def same(now: list[float], then: list[float]) -> bool:
    """Compare sums to CLOSE of the size of their terms, and what is counted exactly."""
    (value, size, error, *counted), (value_then, size_then, error_then, *counted_then) = now, then
    near = max(abs(value - value_then), abs(size - size_then)) <= CLOSE * size_then
    return near and abs(error - error_then) <= CLOSE * error_then and counted == counted_then


@pytest.mark.parametrize("precision", FORMATS)
@pytest.mark.parametrize("what", ["stages", *FORMULAS])
def test_each_formula_and_each_stage(what: str, precision: str) -> None:
    now, then = quantities(precision, what), WRITTEN[f"{precision}, {what}"]
    assert list(now) == list(then)
    assert [name for name in now if not same(now[name], then[name])] == []
