"""The rules of docs/bounds.md give the numbers that are written down: a bound changes on purpose only."""

import json
from collections.abc import Iterable

import numpy as np
import pytest

from mhsa.oracle.bounded import Bounded
from mhsa.oracle.precision import PRECISIONS
from tests.oracle.pinned_bounds import FILE, WHOLE, quantities, rules, whole

WRITTEN = json.loads(FILE.read_text())
# Libraries differ by some of float64's last digits, and ten digits are written down; one rounding more or less changes a
# bound for float64 by a hundredth at least.
CLOSE = 1e-9


def require(precision: str, found: Iterable[tuple[str, Bounded]]) -> None:
    for what, now in found:
        name = f"{precision}, {what}"
        then = WRITTEN[name]
        assert list(now.value.shape) == then["shape"], name
        assert now.error.shape == now.value.shape, name
        np.testing.assert_allclose(now.value.ravel(), np.array(then["value"]), rtol=CLOSE, atol=1e-14, err_msg=name)
        np.testing.assert_allclose(now.error.ravel(), np.array(then["error"]), rtol=CLOSE, atol=0.0, err_msg=name)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_each_rule(precision: str) -> None:
    require(precision, rules(PRECISIONS[precision]))


@pytest.mark.parametrize("precision", WHOLE)
def test_attention_its_gradients_and_its_derivative(precision: str) -> None:
    require(precision, whole(PRECISIONS[precision]))


def test_nothing_is_written_down_that_is_not_looked_at() -> None:
    assert [name for name, _ in quantities()] == list(WRITTEN)
