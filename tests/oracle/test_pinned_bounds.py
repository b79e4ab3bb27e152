"""The rules of docs/bounds.md give the numbers that are written down: a bound changes on purpose only."""

import json

import numpy as np
import pytest

from mhsa.oracle.bounded import Bounded
from tests.oracle.pinned_bounds import FILE, quantities

WRITTEN = json.loads(FILE.read_text())
# Libraries differ by some of float64's last digits, and ten digits are written down; one rounding more or less changes a
# bound for float64 by a hundredth at least.
CLOSE = 1e-9


@pytest.fixture(scope="module")
def found() -> dict[str, Bounded]:
    return dict(quantities())


def test_all_of_them_are_written_down(found: dict[str, Bounded]) -> None:
    assert list(found) == list(WRITTEN)


@pytest.mark.parametrize("name", WRITTEN)
def test_it_is_what_is_written_down(found: dict[str, Bounded], name: str) -> None:
    now, then = found[name], WRITTEN[name]
    assert list(now.value.shape) == then["shape"]
    assert now.error.shape == now.value.shape
    np.testing.assert_allclose(now.value.ravel(), np.array(then["value"]), rtol=CLOSE, atol=1e-14)
    np.testing.assert_allclose(now.error.ravel(), np.array(then["error"]), rtol=CLOSE, atol=0.0)
