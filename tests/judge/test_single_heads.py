"""What properties do with the single heads of a trial."""

import numpy as np

from mhsa.introspect.resolve import understand
from mhsa.judge.single_heads import keep_only_head, key_head, split_heads
from mhsa.records.case import Case
from mhsa.subject.trial import Trial

CASE = Case(
    dtype="float64", batch=2, head=3, query_length=4, key_length=5, d_k=2, data="normal", mask="random", layout="contiguous",
    tie="none", grad=False, need_weights=True, seed=1,
)  # fmt: skip


def trial() -> Trial:
    return Trial(understand("mhsa:MultiHeadAttention"), CASE)


def test_only_the_columns_of_one_head_are_left_in_the_out_projection() -> None:
    one = trial()
    whole = one.projections.out.weight
    keep_only_head(one, whole, 1)
    left = one.projections.out.weight
    assert np.array_equal(left[:, 2:4], whole[:, 2:4])
    assert not left[:, :2].any()
    assert not left[:, 4:].any()


def test_each_query_head_reads_its_own_key_head() -> None:
    one = trial()
    assert [key_head(one, h) for h in range(3)] == [0, 1, 2]


def test_features_are_split_into_heads() -> None:
    one = trial()
    heads = split_heads(one, one.query)
    assert list(heads.shape) == [2, 3, 4, 2]
    assert np.array_equal(heads[1, 2, 3].numpy(), one.query[1, 3, 4:6])


def test_a_call_takes_the_mask_of_the_case_unless_it_is_given_another_or_none() -> None:
    one = trial()
    assert one.mask is not None
    own, without = one(), one(mask=None)
    assert own.mask is not None
    assert np.array_equal(own.mask, one.mask)
    assert without.mask is None
    other = np.ones_like(one.mask)
    other[:, :, 0] = False
    assert np.array_equal(one(mask=other).mask, other)
    assert one(mask=other).tensors[0].shape == own.tensors[0].shape
