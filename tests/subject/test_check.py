"""Comparing with what must be: what passes, the figures that are kept, and every word and number of a violation."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mhsa.oracle.bounded import Bounded
from mhsa.subject import check
from mhsa.subject.check import CurrentCall, Record, Violation, recording

NAN, INF = float("nan"), float("inf")


def violation(function: Callable[..., Any], *given: Any, **more: Any) -> Violation:
    with pytest.raises(Violation) as raised:
        function(*given, **more)
    return raised.value


def facts(function: Callable[..., Any], *given: Any, **more: Any) -> dict[str, Any]:
    """What is known of a violation outside of any property, without what is then always empty."""
    found = violation(function, *given, **more).facts
    assert found.pop("case") is None
    assert found.pop("drawn") == {}
    assert found.pop("answer") is None
    return found


def around(value: list, error: list) -> Bounded:
    return Bounded(np.array(value, dtype=float), np.array(error, dtype=float))


class TestWithin:
    def test_at_the_bound_it_passes_and_the_worst_ratio_is_kept(self) -> None:
        with recording() as record:
            check.within("output", np.array([1.5, 2.0]), around([1.0, 2.25], [0.5, 0.5]))
            assert record.worst == 1.0
            check.within("output", np.array([1.0]), around([1.0], [0.0]))
            assert record.worst == 1.0
            assert record.failed is False

    def test_what_is_wrong_is_said_with_numbers(self) -> None:
        observed = np.array([[1.0, 3.0], [2.125, 4.5]])  # one of them is at its bound
        found = facts(check.within, "output", observed, around([[1.0, 2.0], [2.0, 4.0]], [[0.25, 0.25], [0.125, 0.25]]))
        assert found == {
            "message": "output[0, 1]=3, but must be 2 +- 0.25 (error/bound 4); 2 of 4 elements are wrong",
            "what": "output",
            "where": [0, 1],
            "observed": 3.0,
            "required": 2.0,
            "bound": 0.25,
            "error_over_bound": 4.0,
            "observed_all": [[1.0, 3.0], [2.125, 4.5]],
            "required_all": [[1.0, 2.0], [2.0, 4.0]],
        }

    def test_one_element_is_not_counted(self) -> None:
        assert facts(check.within, "y", np.array([3.0]), around([2.0], [0.125]))["message"] == (
            "y[0]=3, but must be 2 +- 0.12 (error/bound 8)"
        )

    def test_only_what_is_judged_counts(self) -> None:
        observed, required = np.array([[1.0, 9.0], [1.0, 9.0]]), around([[1.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]])
        with recording() as record:
            check.within("y", observed, required, np.array([True, False]))
        assert record.worst == 0.0
        message = facts(check.within, "y", observed, required, np.array([[False], [True]]))["message"]
        assert message == "y[1, 1]=9, but must be 1 +- 1 (error/bound 8); 1 of 4 elements are wrong"

    @pytest.mark.parametrize("odd", [NAN, INF, -INF])
    def test_what_is_no_number_is_never_right(self, odd: float) -> None:
        found = facts(check.within, "y", np.array([1.0, odd]), around([1.0, odd], [1.0, INF]))
        assert found == {
            "message": f"y[1]={odd}, but must be finite; 1 of 2 elements are wrong",
            "what": "y",
            "where": [1],
            "observed": str(odd),
            "required": "finite",
        }

    def test_an_infinite_number_where_a_bound_is_known_shows_both(self) -> None:
        message = facts(check.within, "y", np.array([INF]), around([1.0], [0.5]))["message"]
        assert message == "y[0]=inf, but must be 1 +- 0.5"

    def test_a_required_number_that_is_none_is_met_by_nothing(self) -> None:
        with recording() as record:
            violation(check.within, "y", np.array([1.0]), around([NAN], [1.0]))
        assert record.worst == INF

    def test_a_difference_that_overflows_is_wrong_and_no_warning(self) -> None:
        assert facts(check.within, "y", np.array([1.7e308]), around([-1.7e308], [1.0]))["message"] == (
            "y[0]=1.7e+308, but must be -1.7e+308 +- 1"
        )

    def test_an_infinite_bound_allows_any_number(self) -> None:
        with recording() as record:
            check.within("y", np.array([1e300]), around([0.0], [INF]))
        assert record.worst == 0.0

    def test_shapes_must_agree(self) -> None:
        assert facts(check.within, "y", np.zeros((2, 1)), around([0.0, 0.0], [1.0, 1.0])) == {
            "message": "y has shape [2, 1], but must be [2]",
            "what": "y",
            "observed": [2, 1],
            "required": [2],
        }

    def test_of_nothing_nothing_is_kept(self) -> None:
        with recording() as record:
            check.within("y", np.zeros((0, 3)), Bounded(np.zeros((0, 3)), np.zeros((0, 3))))
        assert record.worst is None


class TestExactly:
    def test_equal_passes_and_anything_else_does_not(self) -> None:
        with recording() as record:
            check.exactly("y", np.array([1.0, -0.0]), np.array([1.0, 0.0]))
        assert record.worst == 0.0
        found = facts(check.exactly, "y", np.array([1.0, 2.0]), np.array([1.0, 2.0000000001]))
        assert found["message"] == "y[1]=2, but must be 2.0000000001 exactly; 1 of 2 elements are wrong"
        assert (found["bound"], found["error_over_bound"]) == (0.0, "inf")

    def test_only_what_is_judged_counts(self) -> None:
        check.exactly("y", np.array([1.0, 2.0]), np.array([1.0, 3.0]), np.array([True, False]))

    def test_digits_are_added_until_two_numbers_differ(self) -> None:
        near = np.nextafter(1.0, 2.0)
        assert facts(check.exactly, "y", np.array([near]), np.array([1.0]))["message"] == (
            "y[0]=1.0000000000000002, but must be 1 exactly"
        )
        third = 1 / 3
        assert facts(check.exactly, "y", np.array([third]), np.array([0.0]))["message"].startswith("y[0]=0.333333333, ")
        assert check._digits(third, third) == "0.33333333333333331"  # 17 tell all floats apart
        assert facts(check.exactly, "y", np.array([third]), np.array([third + 1e-12]))["message"] == (
            "y[0]=0.3333333333333, but must be 0.3333333333343 exactly"
        )

    @pytest.mark.parametrize("odd", [NAN, INF])
    def test_what_is_no_number_is_never_right_even_where_it_is_required(self, odd: float) -> None:
        assert facts(check.exactly, "y", np.array([odd]), np.array([odd]))["message"] == f"y[0]={odd}, but must be finite"
        assert facts(check.exactly, "y", np.array([odd]), np.array([1.0]))["message"] == f"y[0]={odd}, but must be finite"


class TestAgree:
    def test_by_the_sum_of_both_bounds(self) -> None:
        first, second = (np.array([1.0]), np.array([0.25])), (np.array([2.0]), np.array([0.75]))
        with recording() as record:
            check.agree("y", first, second)
        assert record.worst == 1.0
        message = facts(check.agree, "y", first, (np.array([2.0]), np.array([0.25])))["message"]
        assert message == "y[0]=1, but must be 2 +- 0.5 (error/bound 2)"
        check.agree("y", first, (np.array([9.0]), np.array([0.25])), np.array([False]))


class TestFinite:
    def test_any_number_passes_and_nothing_else(self) -> None:
        with recording() as record:
            check.finite("y", np.array([1e300, -3.0]))
        assert record.worst == 0.0
        assert facts(check.finite, "y", np.array([1.0, NAN]))["message"] == (
            "y[1]=nan, but must be finite; 1 of 2 elements are wrong"
        )
        check.finite("y", np.array([1.0, NAN]), np.array([True, False]))


class TestUnchanged:
    def test_the_same_numbers_of_any_kind_pass(self) -> None:
        odd = np.array([1.0, NAN, INF, -INF, -0.0])
        with recording() as record:
            check.unchanged("mask", odd, odd.copy())
        assert record.worst == 0.0

    @pytest.mark.parametrize(
        ("now", "before", "message"),
        [
            ([1.0, 2.0], [1.0, 3.0], "mask[1]=2, but must be 3 exactly, as before; 1 of 2 elements have changed"),
            ([0.0], [-0.0], "mask[0]=0, but must be -0 exactly, as before"),
            ([NAN], [1.0], "mask[0]=nan, but must be 1 exactly, as before"),
            ([1.0], [NAN], "mask[0]=1, but must be nan exactly, as before"),
            ([2.0, 5.0, 7.0], [1.0, 4.0, 7.0], "mask[0]=2, but must be 1 exactly, as before; 2 of 3 elements have changed"),
        ],
    )
    def test_anything_else_is_said(self, now: list[float], before: list[float], message: str) -> None:
        with recording() as record:
            error = violation(check.unchanged, "mask", np.array(now), np.array(before))
        assert str(error) == error.facts["message"] == message
        assert record.worst == INF

    def test_its_facts(self) -> None:
        assert facts(check.unchanged, "mask", np.array([1.0, -INF]), np.array([1.0, INF])) == {
            "message": "mask[1]=-inf, but must be inf exactly, as before; 1 of 2 elements have changed",
            "what": "mask",
            "where": [1],
            "observed": "-inf",
            "required": "inf",
            "bound": 0.0,
            "observed_all": [1.0, "-inf"],
            "required_all": [1.0, "inf"],
        }
        assert facts(check.unchanged, "mask", np.zeros(2), np.zeros(3))["message"] == "mask has shape [2], but must be [3]"


def call(words: str = "w", dtype: str = "any", **parts: Any) -> CurrentCall:
    return CurrentCall(lambda: {"words": words}, dtype, **parts)


class TestRecord:
    def test_figures_are_kept_by_dtype(self) -> None:
        record = Record()
        record.add_ratio(0.5)
        assert (record.worst, record.ratios) == (0.5, {})
        record.start(call(dtype="float32"))
        record.add_ratio(0.25)
        record.add_ratio(0.125)
        record.start(call(dtype="float64"))
        record.add_ratio(-1.0)
        assert (record.worst, record.ratios, record.cases) == (0.5, {"float32": 0.25, "float64": 0.0}, 2)
        record.failed = True
        record.start(call(dtype="float64"))
        assert record.cases == 2

    def test_a_new_case_shows_nothing_of_the_last_one(self) -> None:
        record = Record()
        record.start(call("first", inputs=lambda: {"x": np.ones(1)}, answer=lambda: {"a": 1}))
        record.start(call("second"))
        assert record.call is not None
        assert (record.call.describe(), record.call.inputs(), record.call.answer()) == ({"words": "second"}, {}, None)

    def test_without_tensors_the_description_and_the_dtype_are_left(self) -> None:
        record = Record()
        record.drop_tensors()
        assert record.call is None
        record.start(call(dtype="float32", inputs=lambda: {"x": np.ones(1)}, answer=lambda: {"a": 1}))
        record.drop_tensors()
        assert record.call is not None
        assert (record.call.describe(), record.call.inputs(), record.call.answer()) == ({"words": "w"}, {}, None)
        assert record.call.dtype == "float32"

    def test_figures_are_left_when_the_last_case_is_dropped(self) -> None:
        record = Record(call=call(), drawn={"x": 1}, recorder=1, cases=3, worst=0.5)
        record.forget()
        assert (record.call, record.drawn, record.recorder) == (None, {}, None)
        assert (record.cases, record.worst) == (3, 0.5)

    def test_one_record_at_a_time_and_none_outside(self) -> None:
        with recording() as outer:
            with recording() as inner:
                assert check.current() is inner
            assert check.current() is outer
        assert check.current() is not outer
        assert check.current().cases == 0

    def test_a_violation_says_everything_that_is_known(self) -> None:
        with recording() as record:
            shown = {"mask": np.array([1.0, NAN]), "many": np.zeros(65), "none": np.zeros((0, 2))}
            record.start(call(inputs=lambda: shown, answer=lambda: {"output": 1}))
            record.drawn = {"k": 3}
            error = violation(check.fail, "it is wrong", what="y", mask="replaced by what is shown")
        assert record.failed
        assert str(error) == "it is wrong"
        assert error.facts == {
            "message": "it is wrong",
            "what": "y",
            "mask": [1.0, "nan"],
            "none": [],
            "case": {"words": "w"},
            "drawn": {"k": 3},
            "answer": {"output": 1},
        }

    def test_a_case_without_tensors(self) -> None:
        with recording() as record:
            check.start_without_tensors({"words": "head=2"})
            record.add_ratio(0.5)
        assert record.call is not None
        assert record.call.describe() == {"words": "head=2"}
        assert record.ratios == {"any": 0.5}

    def test_a_failure_that_was_declared(self) -> None:
        with recording() as record:
            check.expected_failure("because")
        assert record.expected_failure == "because"
        assert not record.failed


class TestNotApplicable:
    def test_a_property_that_cannot_be_asked_is_skipped_with_its_reason(self) -> None:
        with pytest.raises(pytest.skip.Exception) as raised:
            check.inapplicable("why")
        assert raised.value.msg == "why"

    @pytest.mark.parametrize(
        ("ask_for", "message"),
        [
            (check.offered, "needs weights [B, H, Tq, Tk], and the subject returns none"),
            (check.offered_lse, "needs a log-sum-exp [B, H, Tq], and the subject returns none"),
        ],
    )
    def test_what_is_returned_is_handed_on_or_missed(self, ask_for: Callable[..., Any], message: str) -> None:
        returned, handed_on = np.ones(2), None
        with contextlib.suppress(pytest.skip.Exception):  # a skip would end this test, too, and fail nothing
            handed_on = ask_for(returned)
        assert handed_on is returned
        with pytest.raises(pytest.skip.Exception) as raised:
            ask_for(None)
        assert raised.value.msg == message

    def test_a_law_that_a_declared_feature_breaks(self) -> None:
        ended = True
        with contextlib.suppress(pytest.skip.Exception):
            check.not_under("", "keys are deleted")
            ended = False
        assert not ended
        with pytest.raises(pytest.skip.Exception) as raised:
            check.not_under("causal = 'top-left'", "keys are deleted")
        assert raised.value.msg == "keys are deleted: not under causal = 'top-left'"

    @pytest.mark.parametrize("wrong", [True, False])
    def test_a_gpu_that_is_lost_ends_the_property(self, wrong: bool) -> None:
        with recording() as record:
            record.start(call(inputs=lambda: {"x": np.ones(1)}, answer=lambda: {"a": 1}))
            record.drawn = {"k": 3}
            with pytest.raises(pytest.skip.Exception) as raised:
                check.end_with_device("lost", wrong=wrong)
        assert raised.value.msg == "lost"
        assert record.failed is wrong
        known = {"message": "lost", "what": "call", "observed": "lost", "case": {"words": "w"}, "drawn": {"k": 3}}
        assert record.ended == (("fail", "lost", known) if wrong else ("not-applicable", "lost", None))
        assert record.call is not None
        assert (record.call.inputs(), record.call.answer()) == ({}, None)


def test_a_count_that_is_a_surprise() -> None:
    check.count_as_expected("weights are dropped", 55, 100, 0.5)
    assert facts(check.count_as_expected, "weights are dropped", 10, 100, 0.5) == {
        "message": "10 of 100 weights are dropped (0.100), but must be about 0.500 of them: "
        "the probability of that is below 1e-9",
        "what": "weights are dropped",
        "observed": 0.1,
        "required": 0.5,
    }


def test_numbers_are_listed_unless_there_are_too_many_to_look_at() -> None:
    assert check.listed(np.array([[1.0, INF]])) == [[1.0, "inf"]]
    assert check.listed(np.zeros(64)) == [0.0] * 64
    assert check.listed(np.zeros(65)) is None
    assert check.listed(np.zeros(3), most=2) is None
    assert check.listed(np.zeros((0, 2))) == []
