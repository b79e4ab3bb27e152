"""Normalised queries and keys: their length does not matter, scores are bounded, gains belong to one side each."""

import numpy as np
from hypothesis import given

from mhsa.judge.budget import light
from mhsa.judge.strategies import cases
from mhsa.oracle.attention import Linear
from mhsa.oracle.formula.fields import QkNorm
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "all", "padding", "random")
NEEDED = "needs a contract with qk_norm"


def declared(subject: Subject) -> QkNorm:
    """Return the normalisation that is declared; without one the property is not applicable."""
    norm = subject.contract.formula.qk_norm
    if norm is None:
        check.inapplicable(NEEDED)
    return norm


@light
@given(case=cases(masks=ANY, data=("integers", "normal", "ties"), small=True))
def test_lengths_do_not_matter(subject: Subject, case: Case) -> None:
    """A head whose queries are four times as long, and whose keys are half as long, attends as before.

    Statement: O does not change with W_Q,h -> 4 W_Q,h and b_Q,h -> 4 b_Q,h for one head h, nor with W_K,h -> W_K,h / 2, but for
        what eps makes of it, by the oracle. Where all heads are normalised together, all of them are made longer.
    Requires: qk_norm is declared; query and key projections can be written.
    Source: the definition; Henry et al. 2020, arXiv 2010.04245; Zhang and Sennrich 2019, arXiv 1910.07467, section 3.
    Breaks it: queries or keys that are not normalised, one root mean square for all heads, an epsilon that is too large.
    """
    norm = declared(subject)
    trial = Trial(subject, case)
    before = trial()
    changed = {}
    for name, heads, factor in (("query", case.head, 4.0), ("key", trial.key_heads, 0.5)):
        map_ = getattr(trial.projections, name)
        h = int(case.rng(10).integers(heads))
        part = slice(None) if norm.over == "all" else slice(h * trial.d_k, (h + 1) * trial.d_k)
        for kind, old in (("weight", map_.weight), ("bias", map_.bias)):
            if old is not None:
                changed[f"{name}_{kind}"] = new = old.copy()
                new[part] = trial.round(old[part] * factor)
    trial.write(**changed)
    after = trial()
    moved = np.abs(after.expected.output.value - before.expected.output.value)
    output, bound = after.output_and_bound
    check.agree("output", (output, bound + moved), before.output_and_bound, before.judged)


def longest(norm: QkNorm, gain: Linear | None, d_k: int, heads: int) -> float:
    """Return how long a normalised query or key of one head may be."""
    length = 1.0 if norm.kind == "l2" else np.sqrt(d_k * (heads if norm.over == "all" else 1))
    if gain is None:
        return float(length)
    factor = gain.weight if norm.gain == "weight" else 1.0 + gain.weight
    shift = 0.0 if gain.bias is None else np.abs(gain.bias).max() * np.sqrt(d_k)
    return float(length * np.abs(factor).max() + shift)


@light
@given(case=cases(masks=("none", "all", "random"), data=("large",), min_keys=2, need_weights=True, small=True))
def test_scores_are_bounded(subject: Subject, case: Case) -> None:
    """However long the tokens are, weights of a row differ by no more than lengths of sqrt(d_k) times gains allow.

    Statement: A_ij / A_ik >= exp(-2 scale |q| |k|) for allowed keys, |q| <= max |g_Q| sqrt(d_k) + |b_Q|, and alike for k; 1 for
        sqrt(d_k) where it is "l2".
    Requires: qk_norm is declared; weights [B, H, Tq, Tk], returned or kept.
    Source: Cauchy and Schwarz; Dehghani et al. 2023, arXiv 2302.05442: why queries and keys are normalised.
    Breaks it: a normalisation that is declared and forgotten, on both sides or one.
    """
    norm, formula = declared(subject), subject.contract.formula
    check.not_under(formula.distant, "scores are bounded")
    trial = Trial(subject, case)
    answer = trial()
    weights, error = check.offered(answer.weights), answer.expected.weights.error
    p = trial.projections
    most = longest(norm, p.query_norm, trial.d_k, case.head) * longest(norm, p.key_norm, trial.d_k, trial.key_heads)
    seen = np.ones_like(weights, dtype=bool) if answer.mask is None else np.broadcast_to(answer.mask[:, None], weights.shape)
    largest = np.where(seen, weights - error, 0.0).max(axis=-1, keepdims=True)
    # Rounding may make each side longer than it can be, by its own share: a hundredth is beyond that in every format.
    least = np.broadcast_to(largest * np.exp(-2.02 * formula.factor(trial.d_k) * most), weights.shape)
    check.agree("weights", (np.minimum(weights, least), error), (least, np.zeros_like(least)), seen & answer.judged[:, None])


@light
@given(case=cases(masks=ANY, min_keys=2, small=True))
def test_gains_belong_to_one_side_each(subject: Subject, case: Case) -> None:
    """Queries twice as large and keys half as large, by their gains, give the same scores.

    Statement: O does not change with g_Q -> 2 g_Q, b_Q -> 2 b_Q, g_K -> g_K / 2 and b_K -> b_K / 2.
    Requires: qk_norm is declared; gains of queries and of keys that are the subject's parameters.
    Source: <2 q, k / 2> = <q, k>.
    Breaks it: one gain that is used for both, an epsilon or a shift that is applied after the gain.
    """
    norm = declared(subject)
    trial = Trial(subject, case)
    p = trial.projections
    if p.query_norm is None or p.key_norm is None:
        check.inapplicable("needs gains of queries and of keys")
    before = trial()
    one = 0.0 if norm.gain == "weight" else 1.0
    for name, gain, factor in (("query_norm", p.query_norm, 2.0), ("key_norm", p.key_norm, 0.5)):
        trial.write(**{f"{name}_weight": trial.round(factor * (gain.weight + one) - one)})
        if gain.bias is not None:
            trial.write(**{f"{name}_bias": factor * gain.bias})
    after = trial()
    # What is stored of 1 + weight need not be a half of it.
    moved = np.abs(after.expected.output.value - before.expected.output.value) if one else 0.0
    output, bound = after.output_and_bound
    check.agree("output", (output, bound + moved), before.output_and_bound, before.judged)


@light
@given(case=cases(masks=ANY, small=True))
def test_a_gain_of_zero_averages(subject: Subject, case: Case) -> None:
    """With queries of zero, by their gain, every allowed key weighs the same.

    Statement: g_Q = 0 and b_Q = 0 imply A_ij = 1 / |M_i|.
    Requires: qk_norm is declared; a gain of queries that is a parameter; no ALiBi.
    Source: the definition.
    Breaks it: a gain that is stored and never read, or is that of the keys.
    """
    norm = declared(subject)
    check.not_under(subject.contract.formula.distant, "equal scores")
    trial = Trial(subject, case)
    gain = trial.projections.query_norm
    if gain is None:
        check.inapplicable("needs a gain of queries")
    zeros = np.zeros_like(gain.weight)
    trial.write(query_norm_weight=zeros if norm.gain == "weight" else zeros - 1.0, query_norm_bias=zeros)
    answer = trial()
    check.within("output", answer.output, answer.expected.output, answer.judged)
    if answer.weights is not None:
        check.within("weights", answer.weights, answer.expected.weights, answer.judged[:, None])
