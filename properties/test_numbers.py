"""Where numbers go wrong: large sizes, large scores, ties, and results that are exact by construction."""

import numpy as np
from hypothesis import given

from mhsa.judge.budget import light, rare
from mhsa.judge.drawing.choices import one_of
from mhsa.judge.strategies import cases
from mhsa.oracle.bounded import Array
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.adapters.several_calls import is_square, makes_several_calls
from mhsa.subject.construction.argument_roles import LENGTH
from mhsa.subject.guard import attempt
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "padding", "causal", "random")
WHOLE = ("integers", "ties")


def compare(subject: Subject, case: Case) -> None:
    """One call, against the oracle."""
    trial = Trial(subject, case)
    answer = trial()
    check.within("output", answer.output, answer.expected.output, answer.judged)


# Queries and keys of which there are many more of one: 600 keys, as above, are more than one part of 512, and 2000 more than
# three; a kernel that splits the keys does so for few queries, and one that walks over queries in parts has a last one.
FEW_QUERIES = ((1, 600), (3, 2000))
FEW_KEYS = ((600, 2), (260, 9))


@light
@given(case=cases(masks=ANY, large="length"), few=one_of((False, True)), more=one_of((False, True)))
def test_long_sequences(subject: Subject, case: Case, few: bool, more: bool) -> None:
    """Lengths on either side of every tile that kernels use, up to about 600 keys; many more keys than queries, and many fewer.

    Statement: |O - o| <= B, as for the oracle's property, at Tk in 15..17, 31..33, 63..65, 127..129, 255..257, 511..600, and
        around the integers in the subject's own source; with Tq and Tk of 1 and 600, 3 and 1026 or 2000; 600 and 2, 260 and 9.
    Requires: nothing. A module that cannot be called with 2000 keys is not judged with them.
    Source: P21; pytorch/pytorch#127055 needs about 600 keys, SageAttention PR#376 a length that is no multiple of the block.
    Breaks it: a last block that is dropped, counted twice or filled with garbage; a window beyond some length; parts of the
        keys that are merged without what each of them weighs, where there are few queries.
    """
    compare(subject, case)
    if is_square(subject.adapter) or subject.ties == ("all",):
        return
    tie = case.tie if case.tie != "all" else next(t for t in subject.ties if t != "all")
    queries, keys = FEW_QUERIES[few]
    small = case.resized(tie=tie, batch=1, **({} if subject.adapter.sizes else {"d_k": min(case.d_k, 8)}))
    far = small.resized(query_length=queries, key_length=keys)
    compare(subject, far.resized(key_length=min(keys, LENGTH)))
    if keys > LENGTH and (made := attempt(lambda: Trial(subject, far)())[0]) is not None:
        answer = made[0]
        check.within("output", answer.output, answer.expected.output, answer.judged)
    # Where the last query is at the last key, earlier ones see none; one that calls for each query alone has no such case.
    if subject.contract.formula.causal != "bottom-right" and not makes_several_calls(subject.adapter):
        queries, keys = FEW_KEYS[more]
        compare(subject, small.resized(query_length=queries, key_length=keys))


@rare
@given(case=cases(masks=("none", "padding"), large="head"))
def test_many_heads(subject: Subject, case: Case) -> None:
    """Up to 33 heads, more than each has features.

    Statement: |O - o| <= B, as for the oracle's property, with H from 6 to 33 and d_k from 1 to 5.
    Requires: the subject can be built in other sizes.
    Source: P09, P21.
    Breaks it: H and d_k exchanged where one is usually the larger, a constant number of heads, a warp's worth of heads.
    """
    compare(subject, case)


@rare
@given(case=cases(masks=("none", "padding"), large="width"))
def test_wide_models(subject: Subject, case: Case) -> None:
    """d_model beyond 512, in few and in many heads.

    Statement: |O - o| <= B, as for the oracle's property, with d_model = H d_k from 513 to 528.
    Requires: the subject can be built in other sizes.
    Source: P21.
    Breaks it: a block of features that is dropped, a kernel for up to 128 features per head.
    """
    compare(subject, case)


@rare
@given(case=cases(masks=("none", "padding", "random"), large="batch"))
def test_large_batches(subject: Subject, case: Case) -> None:
    """Up to 129 samples.

    Statement: |O - o| <= B, as for the oracle's property, with B from 6 to 129.
    Requires: nothing.
    Source: P07; diffusers#8837 (the last slice of a batch was never computed), llama.cpp#7903.
    Breaks it: a batch processed in slices of which one is lost.
    """
    compare(subject, case)


@light
@given(case=cases(masks=("none",), data=WHOLE, min_keys=2))
def test_huge_scores_stay_finite(subject: Subject, case: Case) -> None:
    """Finite wherever the exact result is: no overflow in scores that are finite once they are scaled.

    Statement: with q scaled so that the scores are about 2^40, or in float16 beyond 65504 before and below it after the scale
        1/sqrt(d_k): O and A are finite, A lies in [0, 1].
    Requires: the query projection can be written.
    Source: P20; metal-flash-attention#8 (scale applied after QK in half), ultralytics PR#24990, llama.cpp#7805.
    Breaks it: exp without the maximum taken off, the maximum over all rows or of masked keys, the scale applied too late.
    """
    half = case.dtype == "float16"
    if half and case.d_k < 16 and subject.adapter.sizes is None:
        case = case.resized(d_k=16)
    trial = Trial(subject, case)
    query = trial.projections.query
    q, k, _ = trial().expected.heads
    # A declared scale below the usual one would need projected queries that float16 cannot hold.
    top = float(np.abs(q.value @ k.mT.value).max()) * max(trial.formula.factor(trial.d_k), trial.d_k**-0.5)
    # A power of two, which multiplies exactly; in float16 the scaled scores end between 16384 and 32768.
    factor = 2.0 ** int(np.floor(np.log2(32768 / max(top, 1e-3)))) if half else 2.0**40
    trial.write(
        query_weight=query.weight * factor, query_bias=np.zeros(case.d_model) if query.bias is None else query.bias * factor
    )
    answer = trial()
    check.finite("output", answer.output, answer.judged)
    if answer.weights is not None:
        check.exactly("weights", answer.weights, np.clip(answer.weights, 0.0, 1.0 + 2.0**-6))


@light
@given(case=cases(masks=ANY, data=WHOLE))
def test_values_of_zero_give_the_bias_exactly(subject: Subject, case: Case) -> None:
    """Nothing is mixed from nothing: with V = 0 the output is b_O, to the last bit.

    Statement: W_V = 0 and b_V = 0 imply O = b_O, exactly, in every row with an allowed key.
    Requires: the value projection can be written.
    Source: A3; 0 p = 0 and sums of zeros are exact in every format.
    Breaks it: a residual, a position or key added to the mixture, NaN or garbage times zero.
    """
    trial = Trial(subject, case)
    p = trial.projections
    trial.write(value_weight=np.zeros_like(p.value.weight), value_bias=np.zeros(case.d_model))
    answer = trial()
    bias = np.zeros(case.d_model) if p.out.bias is None else p.out.bias
    check.exactly("output", answer.output, np.broadcast_to(bias, answer.output.shape), answer.judged)


def with_zeros(x: Array) -> Array:
    """Return tokens of which the last are zero, as are all of the last sample; others begin with zero, or sum to it."""
    x = x.copy()
    x[:, 0, 0] = 0.0
    x[:, 1, -1] -= x[:, 1].sum(axis=-1)
    x[:, -1] = x[-1] = 0.0
    return x


@light
@given(
    case=cases(masks=("none", "padding", "random"), data=("integers",), min_keys=3, min_queries=2, min_batch=2, small=True),
    biases=one_of((True, False)),
)
def test_zero_is_a_number(subject: Subject, case: Case, biases: bool) -> None:
    """Tokens that are zero are tokens like any others, and no padding; so are those whose features sum to zero.

    Statement: |O - o| <= B where the last query, key and value of each sample and all of one sample are 0, a token's features
        sum to 0, and another's first one is 0; and the same with biases of zero, with which scores and values are 0, too.
    Requires: no normalised queries and keys: a length of 0 cannot be divided by.
    Source: definition; Kyubyong's transformer, whose masks are made of what is zero.
    Breaks it: padding guessed from zeros (key.abs().sum(-1) == 0), scores that are masked where they are 0.
    """
    if subject.contract.formula.qk_norm is not None:
        check.inapplicable("needs queries and keys that are not divided by their length, which is 0 here")
    trial = Trial(subject, case)
    trial.query, trial.key, trial.value = trial.each(with_zeros)
    if not biases:
        none = np.zeros(case.d_model)
        trial.write(query_bias=none, key_bias=none, value_bias=none)
    answer = trial()
    check.within("output", answer.output, answer.expected.output, answer.judged)


@light
@given(case=cases(masks=("none", "padding"), data=("integers",)))
def test_one_key_is_answered_with_its_value_exactly(subject: Subject, case: Case) -> None:
    """With a single allowed key the output is that key's value, to the last bit.

    Statement: M_i = {j}, W_V = W_O = 1, b = 0 and small whole numbers imply O_i = v_j, exactly.
    Requires: value and out projections can be written.
    Source: A1: the one weight is exp(0) / exp(0) = 1, exactly, and the other products are 0.
    Breaks it: an epsilon in the denominator, softmax(dim) that is off by one axis, weights that are rounded or clamped.
    """
    check.not_under(subject.contract.formula.sinking, "the weights of a row sum to one")
    trial = Trial(subject, case)
    p = trial.projections
    eye, none = np.eye(case.d_model), np.zeros(case.d_model)
    # A query of zero: kernels that fuse the scale into a base-2 exponential are not exact at other scores.
    trial.write(value_weight=eye, value_bias=none, out_weight=eye, out_bias=none,
                query_weight=np.zeros_like(p.query.weight), query_bias=none, query_norm_bias=none)  # fmt: skip
    if case.mask == "none" and case.tie != "all":
        # Aligned bottom-right the last query alone sees a single key: more queries than keys are not promised to be taken.
        own = {"query": trial.query[:, :1]} if subject.contract.formula.causal == "bottom-right" else {}
        answer = trial(**own, **trial.paired(lambda x: x[:, :1]))
        check.exactly("output", answer.output, np.broadcast_to(trial.value[:, :1], answer.output.shape), answer.attended)
        return
    if not subject.adapter.takes_mask:
        check.inapplicable("needs masks, or keys of their own")
    mask = np.zeros((case.batch, case.query_length, case.key_length), bool)
    chosen = case.rng(11).integers(case.key_length, size=case.batch)
    mask[np.arange(case.batch), :, chosen] = True
    answer = trial(mask=mask)
    value = trial.value[np.arange(case.batch), chosen][:, None]
    check.exactly("output", answer.output, np.broadcast_to(value, answer.output.shape), answer.attended)


@light
@given(case=cases(masks=ANY, data=("ties",), need_weights=True))
def test_keys_that_tie_share_alike(subject: Subject, case: Case) -> None:
    """Keys with the same score weigh the same, the largest score included.

    Statement: k_j = k_k implies A_ij = A_ik, up to rounding, for allowed keys; with scores of whole numbers.
    Requires: weights [B, H, Tq, Tk], returned with the output or kept in an attribute such as ``attn``.
    Source: A1; Qiu and Yao 2025, arXiv 2510.04212: biased rounding where the row maximum ties.
    Breaks it: argmax taken for the maximum, a top-k, a position in the scores.
    """
    formula = subject.contract.formula
    check.not_under(formula.between or formula.distant, "keys that are equal may score alike")
    trial = Trial(subject, case)
    answer = trial()
    weights = check.offered(answer.weights)
    same = (trial.key[:, :, None] == trial.key[:, None]).all(axis=-1)[:, None, None]  # [B, 1, 1, Tk, Tk]
    if answer.mask is not None:
        shown = answer.mask[:, None, :, :]
        same = same & shown[..., :, None] & shown[..., None, :]
    first = np.broadcast_to(same, (*weights.shape, case.key_length)).argmax(axis=-1)  # the first key that is the same
    bound = answer.expected.weights.error
    alike = np.broadcast_to(same.any(axis=-1), weights.shape)
    of_first = np.take_along_axis(weights, first, axis=-1), np.take_along_axis(bound, first, axis=-1)
    check.agree("weights of equal keys", (weights, bound), of_first, alike)
