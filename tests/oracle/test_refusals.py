"""Where the oracle itself fails it says so: never a verdict on a subject, and never a bound that is not a number."""

from dataclasses import replace

import numpy as np
import pytest

from mhsa.oracle.attention import Linear, MultiHead, OracleError, _checked, attention, multi_head
from mhsa.oracle.bounded import Arithmetic, Bounded, gamma
from mhsa.oracle.gradients import _additions, derivative, gradients, tied
from mhsa.oracle.precision import PRECISIONS, Precision
from tests.oracle.pinned_bounds import numbers, projections

SINGLE = PRECISIONS["float32"]


def whole(**changed: object) -> MultiHead:
    query, key, value = numbers(1, 1, 2, 4), numbers(2, 1, 3, 4), numbers(3, 1, 3, 4)
    return replace(multi_head(query, key, value, projections(4, bias=True), 2, None, SINGLE), **changed)


def message(raised: pytest.ExceptionInfo[OracleError]) -> str:
    return str(raised.value)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_is_the_oracles_error(odd: float) -> None:
    query = numbers(1, 2, 4)
    query[0, 0] = odd
    with pytest.raises(OracleError) as raised, np.errstate(all="ignore"):
        attention(query, numbers(2, 3, 4), numbers(3, 3, 4), None, SINGLE)
    assert message(raised) == "a score is not a finite number in the oracle; this is an error of mhsa, report it"


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_a_result_that_is_no_number_is_the_oracles_error(odd: float) -> None:
    value = numbers(3, 3, 4)
    value[0, 0] = odd
    with pytest.raises(OracleError) as raised, np.errstate(all="ignore"):
        attention(numbers(1, 2, 4), numbers(2, 3, 4), value, None, SINGLE)
    assert message(raised) == "the oracle's output or its bound is not a number; this is an error of mhsa, report it"


def test_a_bound_that_is_no_number_is_the_oracles_error() -> None:
    """A format so coarse that a sum of three has no bound, and none for the weights."""
    coarse = Precision("coarse", 0.5, 0.5, 0.0)
    with pytest.raises(OracleError) as raised, np.errstate(all="ignore"):
        attention(np.zeros((2, 4)), np.zeros((3, 4)), np.zeros((3, 4)), None, coarse)
    assert "or its bound is not a number; this is an error of mhsa, report it" in message(raised)


@pytest.mark.parametrize(("part", "at"), [("query.weight", 0), ("out.weight", 0), ("query", 0), ("key", 1), ("value", 2)])
def test_a_gradient_that_is_no_number_is_the_oracles_error(part: str, at: int) -> None:
    result = whole()
    upstream = numbers(4, 1, 2, 4)
    if part == "out.weight":
        upstream[0, 0, 0] = np.inf
    elif part == "query.weight":
        inputs = list(result.inputs)
        inputs[at] = np.full_like(inputs[at], np.inf)
        result = replace(result, inputs=tuple(inputs))
    else:
        maps = replace(result.projections, **{part: Linear(np.full((4, 4), np.inf), None)})
        result = replace(result, projections=maps)
    with pytest.raises(OracleError) as raised, np.errstate(all="ignore"):
        gradients(result, SINGLE, upstream)
    assert message(raised) == f"the oracle's gradient of {part} is not a number; this is an error of mhsa, report it"


def test_a_bound_that_is_lost_is_infinite_and_never_nan() -> None:
    """An infinite error times a weight of 0 is not a number in floats: anything is possible there."""
    lost = Bounded(np.ones((1, 2, 4)), np.full((1, 2, 4), np.inf))
    mixed = whole(mixed=lost)
    with np.errstate(all="ignore"):
        found = gradients(mixed, SINGLE, np.zeros((1, 2, 4)))
    assert np.isinf(found.parameters["out.weight"].error).all()
    assert tied(SINGLE, [lost, lost]).error.max() == np.inf
    nothing = Bounded(np.ones((1, 1)), np.full((1, 1), np.nan))
    assert tied(SINGLE, [nothing]).error.max() == np.inf


def test_a_derivative_whose_bound_is_lost_is_infinite() -> None:
    result = whole()
    keys = Bounded(result.heads[1].value, np.full_like(result.heads[1].error, np.inf))
    with np.errstate(all="ignore"):
        found = derivative(
            replace(result, heads=(result.heads[0], keys, result.heads[2])), SINGLE, *map(np.zeros_like, result.inputs)
        )
    assert np.isinf(found.error).all()


def test_the_bound_of_a_sum_ends_where_its_terms_are_too_many() -> None:
    assert gamma(3, 0.25) == 3.0
    assert gamma(4, 0.25) == float("inf")
    assert gamma(5, 0.25) == float("inf")
    assert gamma(0, 0.25) == 0.0


def test_formats_are_those_of_ieee_754_and_of_bfloat16() -> None:
    """Bits of precision, of the sums, and the exponent of the smallest number that is not flushed to zero."""
    found = {name: (-np.log2(p.unit), -np.log2(p.accumulation), -np.log2(p.tiny)) for name, p in PRECISIONS.items()}
    assert found == {
        "float64": (53, 53, 1022),
        "float32": (24, 24, 126),
        "bfloat16": (8, 24, 126),
        "float16": (11, 24, 24),
    }
    assert all(name == p.name for name, p in PRECISIONS.items())


def test_arrays_and_their_errors_move_together() -> None:
    x = Bounded(numbers(1, 2, 3, 4), np.abs(numbers(2, 2, 3, 4)))
    for moved, by_hand in (
        (x.mT, lambda a: np.swapaxes(a, 1, 2)),
        (x.transpose(2, 0, 1), lambda a: a.transpose(2, 0, 1)),
        (x.reshape(4, 6), lambda a: a.reshape(4, 6)),
        (x[1, :, None], lambda a: a[1, :, None]),
    ):
        np.testing.assert_array_equal(moved.value, by_hand(x.value))
        np.testing.assert_array_equal(moved.error, by_hand(x.error))
    np.testing.assert_array_equal(x.magnitude, np.abs(x.value) + x.error)


def test_exact_numbers_are_float64_without_error() -> None:
    exact = Bounded.exact(np.array([1, 2], dtype=np.int32))
    assert (exact.value.dtype, exact.error.dtype) == (np.float64, np.float64)
    assert exact.value.tolist() == [1.0, 2.0]
    assert exact.error.tolist() == [0.0, 0.0]


def test_weights_are_between_0_and_1_whatever_the_scores() -> None:
    by = Arithmetic(PRECISIONS["bfloat16"])
    wild = by.softmax(Bounded(numbers(6, 4, 5), np.full((4, 5), 1e30)), None)
    assert (wild.value - wild.error <= 0.0).all()
    assert (wild.value + wild.error >= 1.0).all()
    assert (wild.error < 1.1).all()


def test_the_part_that_is_no_number_is_named() -> None:
    odd = Bounded(np.full((1, 2, 2, 3), np.nan), np.zeros((1, 2, 2, 3)))
    for part in ("output", "weights"):
        with pytest.raises(OracleError, match=f"^the oracle's {part} or its bound is not a number"):
            _checked(whole(**{part: odd}))


def test_a_projection_whose_bound_is_lost_leaves_an_infinite_one() -> None:
    """Its sums have no bound, and times a weight of 0 that is not a number in floats."""
    coarse = Precision("coarse", 2.0**-8, 1.0, 0.0)
    tokens = numbers(5, 1, 2, 3)
    maps = replace(projections(3, bias=False), value=Linear(np.zeros((3, 3))))
    with np.errstate(all="ignore"):
        found = multi_head(tokens, tokens, np.zeros_like(tokens), maps, 1, None, coarse)
    assert np.isinf(found.heads[2].error).all()


def test_a_sum_over_tokens_is_stored_once_for_each_block_of_sixteen_and_twice_more() -> None:
    assert [_additions(rows) for rows in (1, 16, 17, 32, 33)] == [3, 3, 4, 4, 5]
