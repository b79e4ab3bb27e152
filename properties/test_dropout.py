"""Dropout: the right share, scaled up, independently, and the same in the backward pass.

With W_Q = 0 every key weighs 1 / Tk; with values e_1, ..., e_Tk (Tk = d_k) and W_V = W_O = 1 the output of each head is its row
of weights. So what was dropped can be read off the output of any implementation.
"""

import numpy as np
import torch
from hypothesis import given

from mhsa.judge.budget import light, rare
from mhsa.judge.drawing.choices import one_of
from mhsa.judge.dropout.changed_rate import require_changed_rate
from mhsa.judge.dropout.dropped_weights import NO_RATE, by_head, drop, dropping, look, of_several_heads, rounding, uniform
from mhsa.judge.dropout.own_patterns import require_patterns_of_their_own
from mhsa.judge.dropout.unused_rate import ever_drops, not_if_never, require_use
from mhsa.judge.dropout.value_bias import drops_weights, require_dropped_bias
from mhsa.judge.single_heads import key_head
from mhsa.judge.strategies import cases
from mhsa.oracle.bounded import gamma
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.adapters.several_calls import is_square, makes_several_calls
from mhsa.subject.guard import attempt
from mhsa.subject.memory_layout import numbers
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

RATES = (0.25, 0.75)  # not 0.5, where the rate and its complement are the same
FINE_RATES = (0.25, 0.75, 0.1, 0.03)  # the last two are no multiples of 1/16, and 0.03 is below it
SINGLE = ("float64", "float32")


@rare
@given(case=cases(dtypes=SINGLE), rate=one_of(RATES))
def test_what_is_kept_is_scaled_up(subject: Subject, case: Case, rate: float) -> None:
    """In train mode a weight is dropped or divided by the probability of being kept, so that the mean is preserved.

    Statement: each A_ij is 0 or p_ij / (1 - p), or p_ij / (1 - p)^n if that and the output are dropped n times; E[O] is the
        output in eval; a value bias of 1 adds sum_j A_ij. A rate that is never used is a question; where that is declared, each
        A_ij is p_ij.
    Requires: dropout whose rate can be set.
    Source: A36; Srivastava et al. 2014; NVIDIA/apex PR#816 (scaled by p).
    Breaks it: dropout before the softmax, no scaling, scaling by p, renormalisation after dropout.
    """
    trial, inputs = uniform(subject, case, rate)
    dropped = look(subject, case, rate, trial, inputs)
    scale = 1.0 if subject.contract.dropout == "never" else 1.0 / (1.0 - rate) ** dropped.sites
    tolerance = rounding(subject, case, dropped.kept) * scale
    required = np.where(dropped.kept == 0, 0.0, scale)
    kept = dropped.kept, np.full_like(dropped.kept, tolerance)
    check.agree("weight times Tk", kept, (required, np.zeros_like(required)), dropped.seen)
    free = trial.projections.value.bias is not None and "value.bias" not in trial.views.fixed
    if dropped.sites == 1 and free and not trial.formula.shared:
        require_dropped_bias(trial, inputs, dropped, tolerance)


@light
@given(case=cases(dtypes=SINGLE), rate=one_of(FINE_RATES), few=one_of(("query", "head")))
def test_the_share_that_is_dropped(subject: Subject, case: Case, rate: float, few: str) -> None:
    """The share of weights that is dropped is the rate that was set.

    Statement: the number of zeros among N weights is Binomial(N, p); an exact test at 1e-9. So with one head, and one query.
    Requires: dropout whose rate can be set.
    Source: A36; xformers tests it with a binomial test.
    Breaks it: p taken for the probability of being kept, a rate that is fixed or rounded, dropout that never comes on
        (Megatron-LM PR#411).
    """
    not_if_never(subject)
    dropped = drop(subject, case, rate)
    zeros, total = int(((dropped.kept == 0) & dropped.seen).sum()), int(dropped.seen.sum())
    check.count_as_expected("weights dropped", zeros, total, dropped.rate)
    if few == "head" and (subject.adapter.sizes is not None or subject.fewest_heads > 1):
        return
    if few == "head" and not drops_weights(subject, case, rate):  # an output may be dropped of several heads alone
        return
    if few == "query" and (case.tie == "all" or is_square(subject.adapter)):
        return
    sizes = {"head": 1} if few == "head" else {"queries": 1}
    dropped = look(subject, case, rate, *uniform(subject, case, rate, **sizes), few=few)
    zeros, total = int(((dropped.kept == 0) & dropped.seen).sum()), int(dropped.seen.sum())
    check.count_as_expected(f"weights dropped with one {few}", zeros, total, dropped.rate)


@rare
@given(case=cases(dtypes=SINGLE), rate=one_of(RATES))
def test_each_weight_is_dropped_by_itself(subject: Subject, case: Case, rate: float) -> None:
    """Which weights are dropped is independent over samples, heads, queries and keys.

    Statement: of N pairs of weights at one distance along an axis, both are dropped in Binomial(N, p^2); exact, at 1e-9. No two
        of 600 queries have all the same weights of a head dropped.
    Requires: dropout whose rate can be set.
    Source: A36, P25.
    Breaks it: one pattern for all heads, all samples or all queries (a mask of another shape that is broadcast), whole keys
        dropped, the same random numbers for each tile of queries.
    """
    not_if_never(subject)
    trial, inputs = uniform(subject, case, rate)
    dropped = look(subject, case, rate, trial, inputs)
    gone = dropped.kept == 0
    for axis, name in enumerate(("samples", "heads", "queries", "keys")):
        for distance in range(1, gone.shape[axis] // 2 + 1):
            # Blocks of 2 n places: each of the first n makes a pair with the one that is n further on.
            whole = np.arange(gone.shape[axis] // (2 * distance) * 2 * distance)
            first = whole[whole % (2 * distance) < distance]
            one, two = (np.take(gone, first + off, axis=axis) for off in (0, distance))
            shown = np.logical_and(*(np.take(dropped.seen, first + off, axis=axis) for off in (0, distance)))
            both, probability = int((one & two & shown).sum()), dropped.rate**2
            words = f"pairs of {name} at a distance of {distance} dropped together"
            check.count_as_expected(words, both, int(shown.sum()), probability)
    calls_for_each = makes_several_calls(subject.adapter)
    # Neighbours in a window have nearly the same few keys, of which they may drop the same by chance.
    if dropped.sites == 1 and gone.any() and not calls_for_each and subject.contract.window is None:
        require_patterns_of_their_own(trial, rate)


@rare
@given(case=cases(dtypes=("float64",), small=True), rate=one_of(RATES))
def test_the_backward_pass_drops_the_same(subject: Subject, case: Case, rate: float) -> None:
    """The gradient belongs to the weights that were kept, not to others.

    Statement: in train mode, for L = <O, G> with G = 0 on no row: <W_V, dW_V> + <b_V, db_V> = <O - b_O, G>, because O - b_O
        is linear in (W_V, b_V) for any fixed pattern.
    Requires: dropout whose rate can be set; autograd.
    Source: A31 (Euler, degree 1) with the pattern held fixed; P25.
    Breaks it: a backward pass that draws again, or scales by p instead of 1/(1 - p) (NVIDIA/apex PR#816).
    """
    if subject.contract.float64_in == "float32":
        check.inapplicable("needs float64 throughout, and the subject computes in float32")
    trial = Trial(subject, case, module=dropping(subject, case, rate))
    trial.write(out_bias=np.zeros(case.d_model))  # dropout of the output would drop the bias, too
    trial.train()
    d_output = trial.cotangent(20, case.output_shape)
    derivatives = trial.differentiate(d_output)
    p = trial.projections
    worth = float((p.value.weight * derivatives.observed["value.weight"]).sum())
    if p.value.bias is not None:
        worth += float((p.value.bias * derivatives.observed["value.bias"]).sum())
    direct = float((derivatives.answer.output * d_output).sum())
    # Every product in the chain, by its size; dropout makes weights up to 1 / (1 - rate)^2 times larger.
    value = np.abs(numbers(trial.arguments["value"][0])) @ np.abs(p.value.weight.T)
    value = value + (0.0 if p.value.bias is None else np.abs(p.value.bias))
    by_key_head = value.max(axis=1, keepdims=True).reshape(case.batch, 1, -1, trial.d_v) / (1 - rate) ** 2
    largest = by_key_head[:, :, [key_head(trial, h) for h in range(case.head)]].reshape(case.batch, 1, -1)
    size = float((np.abs(d_output) * (largest @ np.abs(p.out.weight.T))).sum())
    terms = 4 * case.d_model + 2 * case.key_length + 2 * d_output.size + 64
    tolerance = gamma(terms, trial.precision.unit) * size * 4
    check.agree("<V, dV>", (np.array([worth]), np.array([tolerance])), (np.array([direct]), np.zeros(1)))


@rare
@given(case=cases(dtypes=("float64",), masks=("none",)), rate=one_of(RATES))
def test_the_gradient_of_the_scores_drops_the_same(subject: Subject, case: Case, rate: float) -> None:
    """What reaches the scores in the backward pass is dropped and scaled as the weights were.

    Statement: with A_ij = 1 / Tk and m_ij the factor by which A_ij was dropped or scaled up, read off the output, L = <O, G>
        has dS_ij = (G_ij m_ij - mean_j(G_ij m_ij)) / Tk, and so dW_Q = sum over samples and queries of (dS K / sqrt(d_k))^T q.
    Requires: dropout whose rate can be set; autograd.
    Source: the chain rule with the pattern held fixed; P25; bound: docs/bounds.md.
    Breaks it: a fused dropout whose backward pass scales the gradient of the weights by p (NVIDIA/apex PR#816).
    """
    check.not_under(subject.contract.formula.between, "scores are products of projected queries and keys")
    if subject.contract.float64_in == "float32":
        check.inapplicable("needs float64 throughout, and the subject computes in float32")
    trial, (query, key, value) = uniform(subject, case, rate)
    case, p = trial.case, trial.projections
    d_output = trial.cotangent(20, case.output_shape)
    derivatives = trial.differentiate(d_output, query=query, key=key, value=value)
    bias = 0.0 if p.key.bias is None else p.key.bias
    keys = by_head(key @ p.key.weight.T + bias, case.head)
    sizes = by_head(np.abs(key) @ np.abs(p.key.weight.T) + np.abs(bias), case.head)
    # The output is A m, A = 1 / Tk, so G A m is G times the output.
    d_weights = by_head(d_output * derivatives.answer.output, case.head)
    seen = np.ones(d_weights.shape, bool) if derivatives.answer.mask is None else derivatives.answer.mask[:, None]
    share = seen / np.maximum(seen.sum(axis=-1, keepdims=True), 1)
    d_scores = d_weights - share * d_weights.sum(-1, keepdims=True)
    largest = np.abs(d_weights) + share * np.abs(d_weights).sum(-1, keepdims=True)
    expected, size = (
        np.einsum("bhqd,bqm->hdm", ds @ k, q).reshape(p.query.weight.shape) * trial.formula.factor(trial.d_k)
        for ds, k, q in ((d_scores, keys, query), (largest, sizes, np.abs(query)))
    )
    # Sums over features, keys, queries and samples; a score of zero leaves softmax and dropout a few roundings each.
    tolerance = gamma(case.d_model + 3 * case.key_length + case.query_length * case.batch + 64, trial.precision.unit) * size * 2
    check.agree("dW_Q", (derivatives.observed["query.weight"], tolerance), (expected, np.zeros_like(expected)))


@rare
@given(case=cases(dtypes=SINGLE))
def test_dropout_comes_back_after_eval(subject: Subject, case: Case) -> None:
    """eval() switches dropout off, and train() switches it on again; a rate that is changed later counts in every call.

    Statement: after train, eval, train, the output of two calls differs; with more than 1000 weights at p = 1/2 two equal
        patterns have probability below 2^-1000. Where p in each nn.Dropout, and each public number that says p or 1 - p, is
        changed to p': if with or without weights, a mask or gradients weights are 0 or scaled up by 1 / (1 - p'), so they are
        in all of these, and are never dropped with one rate and scaled up by the other. Where none follows, or something else
        holds the rate (a configuration, a factor that is computed once), nothing is said.
    Requires: dropout whose rate can be set.
    Source: P19, P25; NVIDIA/Megatron-LM PR#411: eval set the probability to 0 for ever.
    Breaks it: eval() or a call in eval mode that changes the rate itself; dropout seeded inside; a rate of the constructor that
        is kept for a fused path.
    """
    not_if_never(subject)
    case = of_several_heads(subject, case)
    module = dropping(subject, case, 0.5)
    length = 40 if case.tie == "all" else 30
    case = case.resized(batch=2, query_length=length, key_length=length, data="normal", layout="contiguous")
    trial = Trial(subject, case, module=module)
    trial.train()
    trial()
    trial.train(False)
    kept = trial().expected.output
    trial.train()
    trial()
    seen = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        seen.append(numbers(trial.call_again()[0]))
    if np.array_equal(*seen):
        if (np.abs(seen[0] - kept.value) > kept.error).any():
            check.fail("two calls in train mode after different seeds dropped the same, but must draw anew", what="dropout")
        require_use(subject, 0.5, used=ever_drops(trial, 0.5))
        check.fail(
            "two calls in train mode after eval mode gave the same, but dropout 0.5 must make them differ", what="dropout"
        )
    require_changed_rate(subject, case)


@rare
@given(case=cases(dtypes=SINGLE, need_weights=True), rate=one_of(RATES))
def test_what_is_shown_in_training_was_used(subject: Subject, case: Case, rate: float) -> None:
    """In train mode the weights that are returned are those before dropout, or those by which the values were mixed.

    Statement: every returned A_ij is p_ij, or every one is what z_i = sum_j A_ij v_j was made with.
    Requires: weights [B, H, Tq, Tk]; dropout of weights alone, whose rate can be set.
    Source: A36; P25.
    Breaks it: dropout that is drawn a second time for the weights that are returned.
    """
    trial, inputs = uniform(subject, case, rate)
    answer = trial(*inputs)
    if answer.weights is None:
        check.inapplicable("needs weights [B, H, Tq, Tk], and the subject returns none")
    used = by_head(answer.output, trial.case.head)
    keys = used.shape[-1]
    tolerance = rounding(subject, case, used) / (1.0 - rate) / keys
    seen = np.ones(used.shape, bool) if answer.mask is None else np.broadcast_to(answer.mask[:, None], used.shape)
    before = np.where(seen, 1.0 / np.maximum(seen.sum(axis=-1, keepdims=True), 1), 0.0)
    if (np.abs(answer.weights - before) <= tolerance).all():
        return
    if (np.abs(used[used != 0]) > (1.0 + 2.0**-10) * before[used != 0] / (1.0 - rate)).any():
        check.inapplicable("needs dropout of weights alone, and something else is dropped, too")
    check.agree("returned weights", (answer.weights, np.full_like(used, tolerance)), (used, np.zeros_like(used)), seen)


@rare
@given(case=cases(dtypes=SINGLE, data=("integers",)))
def test_a_rate_of_one_leaves_nothing(subject: Subject, case: Case) -> None:
    """At a rate of one all weights are dropped, and what is left of the output is the bias of its projection.

    Statement: O = b_O for p = 1 in train mode, or O = 0 where the output is dropped, too; never NaN.
    Requires: dropout whose rate can be set to one; who refuses that rate, or has no use for any, promises nothing.
    Source: torch.nn.functional.dropout, which gives zeros at p = 1.
    Breaks it: 0 / (1 - p), which is NaN.
    """
    not_if_never(subject)
    module, said = attempt(lambda: subject.adapter.build_dropping(case.head, case.d_model, 1.0))
    if module is None or module[0] is None:
        check.inapplicable(NO_RATE if module is not None else f"needs dropout whose rate can be one: {said}")
    trial = Trial(subject, case, module=module[0])
    trial.train()
    made, said = attempt(lambda: trial())
    if made is None:
        check.inapplicable(f"needs dropout whose rate can be one: {said}")
    output = made[0].output
    check.finite("output at a dropout of 1", output, made[0].attended)
    bias = trial.projections.out.bias
    left = np.broadcast_to(0.0 if bias is None else bias, output.shape)
    if ever_drops(trial, 0.5):
        check.exactly("output at a dropout of 1", output, np.where((output == 0.0).all(), 0.0, left), made[0].attended)
