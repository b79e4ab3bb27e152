"""Cases: what is drawn, how far it shrinks, and that numbers follow from the case alone."""

from dataclasses import replace

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, find, given, settings

from mhsa.introspect.resolve import understand
from mhsa.judge.strategies import cases, judging
from mhsa.oracle.attention import OracleError
from mhsa.records.case import DATA, LAYOUTS, MASKS, Case
from mhsa.subject import check
from mhsa.subject.memory_layout import to_tensor
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

QUICK = settings(max_examples=1000, database=None, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def reference() -> Subject:
    return understand("mhsa:MultiHeadAttention")


@pytest.mark.parametrize(
    ("wanted", "sizes"),
    [
        (lambda c: c.head > 1, (1, 2, 1, 1, 1)),
        (lambda c: c.key_length > 64, (1, 1, 1, 65, 1)),
        (lambda c: c.head >= 16, (1, 16, 1, 1, 1)),
        (lambda c: c.d_k > 32, (1, 1, 1, 1, 64)),
        (lambda c: c.batch == c.head == 2 and c.query_length > 2 and c.tie == "kv", (2, 2, 3, 1, 1)),
        (lambda c: c.key_length == c.query_length > 4 and c.tie == "none", (1, 1, 5, 5, 1)),
        (lambda c: c.mask == "random" and c.tie == "none", (1, 1, 1, 1, 1)),
    ],
)
def test_shrinking_ends_in_the_smallest_sizes(reference: Subject, wanted, sizes: tuple[int, ...]) -> None:
    with judging(reference):
        c = find(cases(masks=MASKS), wanted, settings=QUICK)
    assert (c.batch, c.head, c.query_length, c.key_length, c.d_k) == sizes
    assert (c.dtype, c.data, c.layout, c.grad, c.seed) == ("float64", "integers", "contiguous", False, 0)


def test_everything_is_drawn_and_sizes_mostly_differ(reference: Subject) -> None:
    seen: list[Case] = []

    @settings(QUICK, max_examples=400, phases=[Phase.generate])
    @hypothesis.seed(0)
    @given(case=cases(masks=MASKS))
    def collect(case: Case) -> None:
        seen.append(case)

    with judging(reference):
        collect()
    for field, values in (("data", DATA), ("mask", MASKS), ("layout", LAYOUTS), ("tie", ("none", "kv", "all"))):
        assert {getattr(c, field) for c in seen} == set(values)
    assert max(c.key_length for c in seen) > 128
    assert max(c.head for c in seen) >= 16
    different = [c for c in seen if c.tie != "all" and len({c.batch, c.head, c.query_length, c.key_length, c.d_k}) == 5]
    assert len(different) > 80


@pytest.mark.parametrize("large", ["length", ""])
def test_long_rows_are_met_with_the_features_that_kernels_for_gpus_take(reference: Subject, large: str) -> None:
    seen: list[Case] = []

    @settings(QUICK, max_examples=600, phases=[Phase.generate])
    @hypothesis.seed(0)
    @given(case=cases(large=large))  # type: ignore[arg-type]
    def draw(case: Case) -> None:
        seen.append(case)

    with judging(reference):
        draw()
    long = [c for c in seen if c.key_length > 32]
    assert {c.d_k for c in long} >= {1, 2, 3, 4, 8, 16}
    assert sum(c.d_k % 8 == 0 for c in long) >= len(long) / 10
    assert max(c.d_k for c in long) <= 64


def test_a_head_of_long_rows_has_features_whatever_numbers_the_source_has(reference: Subject) -> None:
    seen: list[int] = []

    @settings(QUICK, max_examples=300, phases=[Phase.generate])
    @hypothesis.seed(0)
    @given(case=cases(large="length"))
    def draw(case: Case) -> None:
        seen.append(case.d_k)

    with judging(replace(reference, literals=(6, 7, 12))):
        draw()
    assert set(seen) <= {1, 2, 3, 4, 8, 16, 32, 64}


def test_numbers_follow_from_the_case() -> None:
    case = Case("float64", 2, 3, 4, 5, 2, data="normal", mask="random", seed=11)
    for one, other in zip(case.inputs(), case.inputs(), strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(case.allowed(), case.allowed())
    assert len({x.tobytes() for x in case.inputs()}) == 3


@pytest.mark.parametrize("seed", range(20))
def test_only_the_kind_that_says_so_leaves_a_row_empty(seed: int) -> None:
    for mask in MASKS[1:]:
        allowed = Case("float64", 2, 2, 3, 4, 2, mask=mask, seed=seed).allowed()
        assert allowed.shape == (2, 3, 4)
        assert (~allowed.any(axis=2)).sum() == (1 if mask == "fully_masked_row" else 0)
        if mask not in ("all", "causal"):
            assert not Case("float64", 1, 1, 1, 2, 1, mask=mask, seed=seed).allowed().all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_hold_the_same_numbers_in_other_places(reference: Subject, layout: str) -> None:
    trial = Trial(reference, Case("float32", 3, 2, 4, 5, 2, layout=layout))
    tensor = to_tensor(trial.query, trial.dtype, "cpu", layout)
    assert np.array_equal(tensor.double().numpy(), trial.query)
    assert tensor.is_contiguous() == (layout in ("contiguous", "offset"))
    assert (tensor.storage_offset() > 0) == (layout in ("offset", "sliced"))
    assert (tensor.stride(0) == 0) == (layout == "expanded")


def test_tied_inputs_are_one_tensor() -> None:
    seen = []
    plain = understand("torch.nn.functional:scaled_dot_product_attention")
    trial = Trial(plain, Case("float64", 2, 2, 3, 3, 2, tie="all"))
    trial.module.forward = lambda query, key, value, mask: seen.append((query, key, value)) or torch.zeros(2, 3, 4)
    trial()
    assert seen[0][0] is seen[0][1] is seen[0][2]


class TestChecks:
    def test_the_message_says_where_and_what(self) -> None:
        with pytest.raises(check.Violation) as raised, check.recording():
            check.agree("output", (np.array([1.0, 2.0]), np.full(2, 0.1)), (np.array([1.0, 3.0]), np.full(2, 0.1)))
        assert str(raised.value) == "output[1]=2, but must be 3 +- 0.2 (error/bound 5); 1 of 2 elements are wrong"

    def test_nan_never_passes(self) -> None:
        nan = np.array([np.nan])
        for observed, required in ((nan, np.zeros(1)), (np.zeros(1), nan), (nan, nan)):
            with pytest.raises(check.Violation), check.recording():
                check.agree("x", (observed, np.ones(1)), (required, np.ones(1)))

    def test_the_largest_ratio_is_kept(self) -> None:
        with check.recording() as record:
            check.agree("x", (np.array([1.0]), np.ones(1)), (np.array([1.5]), np.ones(1)))
            check.exactly("x", np.ones(1), np.ones(1))
        assert record.worst == 0.25

    def test_shapes_must_agree(self) -> None:
        with pytest.raises(check.Violation, match=r"x has shape \[2\], but must be \[1\]"):
            check.exactly("x", np.ones(2), np.ones(1))

    def test_a_result_is_never_infinite_and_what_is_left_alone_may_be(self) -> None:
        odd = np.array([np.inf, -np.inf, np.nan, -0.0, 1.0])
        for n in range(3):
            with pytest.raises(check.Violation, match="must be finite"), check.recording():
                check.exactly("x", odd[n : n + 1], odd[n : n + 1])
        with check.recording() as record:
            check.unchanged("mask", odd, odd.copy())
        assert record.worst == 0.0

    @pytest.mark.parametrize(
        ("at", "other", "words"),
        [
            (0, -np.inf, "-inf, but must be inf"),
            (1, np.nan, "nan, but must be -inf"),
            (2, 0.0, "0, but must be nan"),
            (3, 0.0, "0, but must be -0"),
            (4, 1.0 + 2.0**-30, "1.0000000009, but must be 1"),
        ],
    )
    def test_every_change_is_told(self, at: int, other: float, words: str) -> None:
        before = np.array([np.inf, -np.inf, np.nan, -0.0, 1.0])
        after = before.copy()
        after[at] = other
        with pytest.raises(check.Violation) as raised, check.recording():
            check.unchanged("mask", after, before)
        assert str(raised.value) == f"mask[{at}]={words} exactly, as before; 1 of 5 elements have changed"

    def test_rows_that_are_not_judged_may_hold_anything(self) -> None:
        check.exactly("x", np.array([np.nan, 1.0]), np.ones(2), np.array([False, True]))

    def test_an_oracle_error_is_no_violation(self) -> None:
        assert not issubclass(OracleError, check.Violation)
