"""What heads are: independent single-head attentions, mixed by W_O alone."""

from dataclasses import replace

import numpy as np
from hypothesis import given

from mhsa.judge.budget import light
from mhsa.judge.single_heads import keep_only_head, key_head
from mhsa.judge.strategies import cases
from mhsa.oracle.attention import Linear, core, of_places
from mhsa.oracle.bounded import Arithmetic, Bounded
from mhsa.oracle.formula import between
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "padding", "causal", "random")


def part_of(gain: Linear | None, features: slice) -> Linear | None:
    """Return a head's own numbers of a gain and shift; one that has as many as a head is the same for all."""
    if gain is None or gain.weight.size == features.stop - features.start:
        return gain
    return Linear(gain.weight[features], None if gain.bias is None else gain.bias[features])


def single_head(trial: Trial, h: int) -> Bounded:
    """Output [B, Tq, D] that head ``h`` alone contributes, b_O included: plain attention without any head axis."""
    arithmetic = Arithmetic(trial.precision)
    p = trial.projections
    shared = key_head(trial, h)
    of_scores, of_values = (slice(h * width, (h + 1) * width) for width in (trial.d_k, trial.d_v))
    of_keys, of_shared_values = (slice(shared * width, (shared + 1) * width) for width in (trial.d_k, trial.d_v))
    q, k, v = (
        arithmetic.linear(Bounded.exact(x), map_.weight[part], None if map_.bias is None else map_.bias[part])
        for x, map_, part in (
            (trial.query, p.query, of_scores),
            (trial.key, p.key, of_keys),
            (trial.value, p.value, of_shared_values),
        )
    )
    check.not_under(trial.formula.joint, "heads do not see each other")
    gains = part_of(p.query_norm, of_scores), part_of(p.key_norm, of_keys)
    q, k = (side.heads[:, 0] for side in between.sides(arithmetic, trial.formula, q[:, None], k[:, None], gains))
    mask = trial.effective(trial.mask, trial.query, trial.key)
    formula, bias = trial.formula, None
    if formula.distant:  # a slope or table of the head's own
        shape = (trial.case.head, q.value.shape[1], k.value.shape[1])
        bias, formula = of_places(arithmetic, formula, shape, p.table)[h], replace(formula, bias=None)
    sink = None if p.sinks is None else p.sinks[h : h + 1]
    z = core(arithmetic, q, k, v, mask, bias=bias, formula=formula, learned=sink).output
    return arithmetic.linear(z, p.out.weight[:, of_values], p.out.bias)


@light
@given(case=cases(masks=ANY, one_head=True))
def test_one_head_is_single_head_attention(subject: Subject, case: Case) -> None:
    """With head = 1, multi-head attention is attention of the projected tensors, followed by W_O.

    Statement: MHA_1(q, k, v) = W_O Attention(W_Q q, W_K k, W_V v) + b_O, with d_k = d_model.
    Requires: a module that can be built with one head.
    Source: Vaswani et al. 2017, section 3.2.2, with h = 1.
    Breaks it: a shortcut for one head that forgets a projection, the mask or the scale (the seed's own commented branch).
    """
    trial = Trial(subject, case)
    answer = trial()
    check.within("output", answer.output, single_head(trial, 0), answer.judged)


@light
@given(case=cases(masks=ANY, small=True))
def test_each_head_alone(subject: Subject, case: Case) -> None:
    """With the W_O blocks of all other heads set to zero, what is left is the attention of that one head.

    Statement: for each h, with W_O,g = 0 for g != h: O = W_O,h Attention(Q_h, K_h, V_h) + b_O.
    Requires: the out projection can be written.
    Source: A14; the symmetry group of attention contains S_h (KrkbYbK0cH, NeurReps 2025).
    Breaks it: heads that mix tokens or each other (FuxiCTR#30), one projection reused by every head
        (episodic-transformer-memory-ppo PR#22), a head that is dropped.
    """
    trial = Trial(subject, case)
    whole = trial.projections.out.weight
    for h in range(case.head):
        keep_only_head(trial, whole, h)
        answer = trial()
        check.within(f"output of head {h} alone", answer.output, single_head(trial, h), answer.judged)


@light
@given(case=cases(masks=ANY, small=True))
def test_sum_over_heads(subject: Subject, case: Case) -> None:
    """The output is the sum of what each head contributes through its own block of W_O.

    Statement: MHA(q, k, v) - b_O = sum_h (MHA with only W_O,h)(q, k, v) - b_O, all evaluated by the subject.
    Requires: the out projection can be written.
    Source: Vaswani et al. 2017, section 3.2.2: Concat(head_1, ..., head_H) W_O is a sum of blocks.
    Breaks it: normalisation, gating or dropout across heads; an output that is not linear in W_O.
    """
    trial = Trial(subject, case)
    together = trial()
    whole, bias = trial.projections.out.weight, trial.projections.out.bias
    total = np.zeros_like(together.output) if bias is None else np.broadcast_to(bias, together.output.shape).copy()
    tolerance = together.expected.output.error.copy()
    for h in range(case.head):
        keep_only_head(trial, whole, h)
        answer = trial()
        total += answer.output - (0.0 if bias is None else bias)
        tolerance += answer.expected.output.error
    # Adding up the heads here, in float64, rounds at most head + 1 times.
    tolerance += (case.head + 1) * 2.0**-52 * (np.abs(total) + np.abs(together.output) + tolerance)
    check.agree("sum over heads", (together.output, tolerance), (total, np.zeros_like(total)), together.judged)


@light
@given(case=cases(masks=ANY, min_head=2))
def test_heads_may_be_permuted(subject: Subject, case: Case) -> None:
    """Heads have no order: permuted heads, with their blocks of W_O, change nothing.

    Statement: permuting the blocks of rows of W_Q, W_K, W_V (and biases) and the blocks of columns of W_O alike changes
        nothing.
    Requires: two heads; all projections can be written.
    Source: A13, the factor S_h of the symmetry group (KrkbYbK0cH, NeurReps 2025).
    Breaks it: a head that is dropped or treated apart, heads that share a projection or look at each other.
    """
    check.not_under(subject.contract.formula.shared, "needs a key head for each query head")
    check.not_under(subject.contract.formula.distant, "heads have no order")
    trial = Trial(subject, case)
    order = case.rng(10).permutation(case.head)
    of_scores, of_values = (
        np.arange(case.head * width).reshape(case.head, width)[order].reshape(-1) for width in (trial.d_k, trial.d_v)
    )
    before = trial()
    changed = {"out_weight": trial.projections.out.weight[:, of_values]}
    if trial.projections.sinks is not None:
        changed["sinks"] = trial.projections.sinks[order]
    maps = (("query", of_scores), ("key", of_scores), ("value", of_values))
    gains = (("query_norm", of_scores), ("key_norm", of_scores))
    for name, features in (*maps, *gains):
        linear = getattr(trial.projections, name)
        if linear is None or len(linear.weight) != len(features):  # no gain, or one that all heads share
            continue
        changed[f"{name}_weight"] = linear.weight[features]
        if linear.bias is not None:
            changed[f"{name}_bias"] = linear.bias[features]
    trial.write(**changed)
    check.agree("output", trial().output_and_bound, before.output_and_bound, before.judged)


@light
@given(case=cases(masks=ANY, min_head=2))
def test_heads_do_not_see_each_other(subject: Subject, case: Case) -> None:
    """What one head projects is of no consequence to the others.

    Statement: with W_O,g = 0 for one head g, the output does not depend on W_Q,g, W_K,g, W_V,g and their biases.
    Requires: two heads; all projections can be written.
    Source: A14.
    Breaks it: heads that mix tokens (FuxiCTR#30) or weights, a normalisation across heads, a maximum over all heads.
    """
    check.not_under(subject.contract.formula.shared, "needs a key head for each query head")
    check.not_under(subject.contract.formula.joint, "heads do not see each other")
    trial = Trial(subject, case)
    silent = int(case.rng(10).integers(case.head))
    of_scores, of_values = (slice(silent * width, (silent + 1) * width) for width in (trial.d_k, trial.d_v))
    out = trial.projections.out.weight.copy()
    out[:, of_values] = 0.0
    trial.write(out_weight=out)
    before = trial()
    changed = {}
    for name, part in (("query", of_scores), ("key", of_scores), ("value", of_values)):
        linear = getattr(trial.projections, name)
        for kind, old in (("weight", linear.weight), ("bias", linear.bias)):
            if old is not None:
                new = old.copy()
                new[part] = -2.0 * old[part] if case.dtype != "float16" else -old[part]
                changed[f"{name}_{kind}"] = new
    trial.write(**changed)
    check.agree("output", trial().output_and_bound, before.output_and_bound, before.judged)
