"""Biases of the scores: one that the caller gives is added as its axes say and has a gradient; ALiBi counts distances."""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given

from mhsa.judge.budget import light
from mhsa.judge.strategies import cases
from mhsa.oracle import gradients as backward
from mhsa.oracle.formula.bias_fields import BiasTable
from mhsa.oracle.formula.causal import own_places
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.answer import Answer
from mhsa.subject.guard import guard
from mhsa.subject.memory_layout import numbers
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "all", "padding", "random")
WHOLE = ("integers", "ties")
HIDING = -1e4  # a weight of exp(-1e4) is zero in every format, and float16 holds the number


@given(case=cases(masks=(*ANY, "causal", "broadcast", "fully_masked_row"), min_bias=True))
def test_output_with_a_bias(subject: Subject, case: Case) -> None:
    """The output is that of scores with the bias added after they are scaled, under any mask.

    Statement: |O - o| <= B, with softmax(scale <q_i, k_j> + b_bhij) over the allowed keys.
    Requires: bias = "given" is declared, or a mask is added.
    Source: ALiBi's and T5's definition; torch's scaled_dot_product_attention; bound: docs/bounds.md.
    Breaks it: a bias that is scaled with the scores (tenstorrent/tt-metal#55333), taken from the first head or sample, or lost
        where a mask is given.
    """
    trial = Trial(subject, case)
    answer = trial()
    check.within("output", answer.output, answer.expected.output, answer.judged)


@light
@given(case=cases(masks=ANY, min_bias=True, min_keys=2, ties=("none", "kv"), data=("integers", "normal", "ties")))
def test_a_bias_hides_keys(subject: Subject, case: Case) -> None:
    """Where the bias is -10000, keys and values can hold anything.

    Statement: b_ij = -10000 for every i implies O(q, k', v') = O(q, k, v), where k', v' differ from k, v at key j only, in the
        rows that see another key.
    Requires: bias = "given" is declared, or a mask is added; keys of their own; the bias does not go through a soft cap.
    Source: a mask that is added is such a bias; P22, the class of arguments that are accepted and ignored.
    Breaks it: a bias that is ignored, in some heads or under a mask, that is scaled, or added to the weights.
    """
    if subject.contract.formula.softcap is not None and subject.contract.formula.caps_bias:
        check.inapplicable('scores far apart: not under softcap_order = "after-bias"')
    trial = Trial(subject, case)
    assert trial.bias is not None
    j = int(case.rng(11).integers(case.key_length))
    seen = trial.effective(trial.mask, trial.query, trial.key)
    rows = np.ones((1, 1, 1), bool) if seen is None else np.delete(seen, j, axis=2).any(axis=2, keepdims=True)
    trial.bias = trial.round(np.where(np.arange(case.key_length) == j, HIDING, trial.bias))
    before = trial()
    after = trial(**trial.paired(lambda x: np.where((np.arange(case.key_length) == j)[:, None], -x, x)))
    check.agree("output", after.output_and_bound, before.output_and_bound, before.judged & rows)


@light
@given(case=cases(masks=ANY, min_bias=True, data=WHOLE))
def test_a_constant_in_a_row_changes_nothing(subject: Subject, case: Case) -> None:
    """A number added to a whole row of the bias changes nothing: softmax knows no shift.

    Statement: O(b + c_i) = O(b) for a number c_i per row.
    Requires: bias = "given" is declared, or a mask is added; no sink, and no soft cap over the bias.
    Source: A7, for the bias alone.
    Breaks it: a bias that is added after the softmax, or multiplied with the scores, with the queries' axis exchanged.
    """
    formula = subject.contract.formula
    if formula.softcap is not None and formula.caps_bias:
        check.inapplicable('a shift of all scores changes nothing: not under softcap_order = "after-bias"')
    check.not_under(formula.sinking, "a shift of all scores changes nothing")
    trial = Trial(subject, case)
    assert trial.bias is not None
    before = trial()
    trial.bias = trial.bias + trial.case.rng(12).integers(-4, 5, size=(*trial.bias.shape[:3], 1))
    after = trial()
    check.agree("output", after.output_and_bound, before.output_and_bound, before.judged)


def require_gradient(subject: Subject) -> None:
    """End the property where the bias is a mask that no docstring promises a gradient, and that has none."""
    form = subject.caller.bias_form
    if form is not None and not form.gradient:
        check.inapplicable("needs a bias that has a gradient, and the mask that is one is promised none")


@given(case=cases(masks=(*ANY, "causal"), min_bias=True))
def test_gradient_of_the_bias(subject: Subject, case: Case) -> None:
    """The bias receives the gradient of its scores, summed over the axes that are broadcast.

    Statement: dL/db_bhij = P_bhij (dP_bhij - sum_k P_bhik dP_bhik), summed over samples or heads where b has one for all.
    Requires: bias = "given" is declared, or a mask is added; autograd.
    Source: the chain rule; bound: docs/bounds.md.
    Breaks it: a backward pass without the bias (pytorch/pytorch#148476), with the scale on it, or not summed.
    """
    require_gradient(subject)
    trial = Trial(subject, case)
    found = trial.differentiate(trial.cotangent(20, case.output_shape))
    if not found.answer.judged.all():
        check.inapplicable("needs a key in every row")
    check.within("gradient of the bias", found.observed["bias"], found.expected["bias"])


@light
@given(case=cases(masks=ANY, min_bias=True, small=True))
def test_the_bias_alone_is_differentiated(subject: Subject, case: Case) -> None:
    """The bias receives its gradient where nothing else requires one.

    Statement: dL/db as in gradient_of_the_bias, with inputs and parameters that require no gradient.
    Requires: bias = "given" is declared, or a mask is added; autograd.
    Source: pytorch/pytorch#171707; A27.
    Breaks it: a path that is chosen by whether the query requires a gradient, a bias that is detached.
    """
    require_gradient(subject)
    trial = Trial(subject, case)
    answer = trial()
    if not answer.judged.all():
        check.inapplicable("needs a key in every row")
    bias, _ = trial.arguments["bias"]
    trial.module.requires_grad_(False)
    bias.requires_grad_(True)
    with torch.enable_grad():
        output, _ = trial.call_again()
    if not output.requires_grad:
        check.fail("output does not require a gradient, but must: the bias does", what="gradient of the bias")
    start = trial.cotangent(20, case.output_shape)
    (gradient,) = guard("the backward pass", lambda: torch.autograd.grad(output, bias, trial.tensor(start), allow_unused=True))
    must = backward.gradients(answer.expected, trial.precision, start).bias
    assert must is not None
    observed = np.zeros(must.value.shape) if gradient is None else numbers(gradient).reshape(must.value.shape)
    check.within("gradient of the bias", observed, must)


@light
@given(case=cases(masks=ANY, min_bias=True))
def test_a_bias_for_all_is_one_for_each(subject: Subject, case: Case) -> None:
    """A bias with one axis for all samples or heads is the same bias, written out for each of them.

    Statement: O(b[1, h]) = O(b repeated B times), and likewise for the heads.
    Requires: bias = "given" is declared, or a mask is added; it may have an axis of size 1, and the whole one is taken, too.
    Source: broadcasting.
    Breaks it: a bias that is repeated for the heads as if these came before the samples.
    """
    broadcast = [kind for kind in ("heads", "samples", "shared") if kind in subject.biases]
    if not broadcast or "full" not in subject.biases:
        check.inapplicable("needs a bias that may have axes of size 1")
    case = replace(case, bias=broadcast[case.seed % len(broadcast)]) if case.bias == "full" else case
    trial = Trial(subject, case)
    assert trial.bias is not None
    before = trial()
    trial.bias = np.broadcast_to(trial.bias, (case.batch, case.head, *trial.bias.shape[2:])).copy()
    after = trial()
    check.agree("output", after.output_and_bound, before.output_and_bound, before.judged)


@light
@given(case=cases(masks=ANY, data=("integers", "normal", "ties"), small=True))
def test_a_number_for_all_buckets_changes_nothing(subject: Subject, case: Case) -> None:
    """A number added to a head's biases of all distances changes nothing: softmax knows no shift.

    Statement: O(b_uh + c_h) = O(b_uh) for a number c_h per head.
    Requires: bias = "table" is declared; no sink, and no soft cap over the bias.
    Source: A7, for the table alone.
    Breaks it: a table that is added after the softmax, multiplied with the scores, or read across heads.
    """
    formula = subject.contract.formula
    if not isinstance(formula.bias, BiasTable):
        check.inapplicable('needs a contract with bias = "table"')
    if formula.softcap is not None and formula.caps_bias:
        check.inapplicable('a shift of all scores changes nothing: not under softcap_order = "after-bias"')
    check.not_under(formula.sinking, "a shift of all scores changes nothing")
    trial = Trial(subject, case)
    before = trial()
    table = trial.projections.table
    assert table is not None
    trial.write(table=trial.round(table + case.rng(12).integers(-4, 5, size=(1, case.head))))
    after = trial()
    # What is stored of b + c need not be the same distance apart.
    moved = np.abs(after.expected.output.value - before.expected.output.value)
    output, bound = after.output_and_bound
    check.agree("output", (output, bound + moved), before.output_and_bound, before.judged)


@light
@given(case=cases(masks=ANY, data=("integers", "normal", "ties"), min_head=2, small=True))
def test_biases_of_a_head_are_its_own(subject: Subject, case: Case) -> None:
    """Other biases of one head change nothing in what the others give.

    Statement: with W_O,g = 0 for one head g, the output does not depend on b_ug.
    Requires: bias = "table" is declared; two heads; the out projection can be written.
    Source: A14.
    Breaks it: a table that is transposed, or of which one column serves all heads.
    """
    if not isinstance(subject.contract.formula.bias, BiasTable):
        check.inapplicable('needs a contract with bias = "table"')
    trial = Trial(subject, case)
    out, table = trial.projections.out.weight.copy(), trial.projections.table
    assert table is not None
    for g in (0, case.head - 1):
        without = out.copy()
        without[:, g * trial.d_v : (g + 1) * trial.d_v] = 0.0
        trial.write(out_weight=without, table=table)
        before = trial()
        changed = table.copy()
        changed[:, g] = -2.0 * changed[::-1, g]
        trial.write(table=trial.round(changed))
        check.agree("output", trial().output_and_bound, before.output_and_bound, before.judged)


def of_equal_keys(subject: Subject, case: Case) -> Answer:
    """Weights of keys that are all the same, where the places alone make a difference."""
    check.not_under("" if subject.contract.formula.distant else "no declaration of it", "biases of places")
    trial = Trial(subject, case)
    key = trial.projections.key
    zeros = {"key_weight": np.zeros_like(key.weight)}
    trial.write(**zeros, **({} if key.bias is None else {"key_bias": np.zeros_like(key.bias)}))
    return trial()


@light
@given(case=cases(min_keys=3, min_queries=2, need_weights=True, small=True))
def test_weights_depend_on_the_distance(subject: Subject, case: Case) -> None:
    """One place further on, query and key weigh as they did: only the distance counts.

    Statement: with equal keys, A_ij A_(i+1)(i+1) = A_(i+1)(j+1) A_ii, i and j counted from the own place of the first query.
    Requires: bias = "alibi" or "table" of distances is declared; weights [B, H, Tq, Tk].
    Source: Press et al. 2022; relativity, without the oracle.
    Breaks it: places that begin anew in each block, or are rounded or clamped.
    """
    if isinstance(subject.contract.formula.bias, BiasTable) and subject.contract.formula.bias.rule == "swin":
        check.inapplicable("only the distance counts: not in a window, where a row of tokens ends")
    answer = of_equal_keys(subject, case)
    weights, error = check.offered(answer.weights), answer.expected.weights.error
    queries, keys = weights.shape[2:]
    first = keys - queries if subject.contract.formula.causal == "bottom-right" else 0
    rows = [i for i in range(queries - 1) if 0 <= first + i < keys - 1]
    if not rows:
        check.inapplicable("needs two queries whose own places are keys")
    for i in rows:
        own = first + i
        here, there = weights[..., i, :-1], weights[..., i + 1, 1:]
        at, beside = weights[..., i, own, None], weights[..., i + 1, own + 1, None]
        room = error[..., i, :-1] * (beside + 1e-3) + here * error[..., i + 1, own + 1, None]
        other = error[..., i + 1, 1:] * (at + 1e-3) + there * error[..., i, own, None]
        check.agree(f"weights of query {i}", (here * beside, room), (there * at, other))


@light
@given(case=cases(min_keys=3, need_weights=True, small=True, dtypes=("float64",)))
def test_nearer_keys_weigh_more(subject: Subject, case: Case) -> None:
    """Of equal keys the nearer one weighs more.

    Statement: with equal keys, |j - i| < |k - i| implies A_ij > A_ik, for keys that are seen.
    Requires: bias = "alibi" is declared; weights [B, H, Tq, Tk].
    Source: Press et al. 2022, without the oracle.
    Breaks it: a distance that is added, ignored, or counted from another place.
    """
    if isinstance(subject.contract.formula.bias, BiasTable):
        check.inapplicable('nearer keys weigh more: not under bias = "table"')
    answer = of_equal_keys(subject, case)
    weights = check.offered(answer.weights)
    queries, keys = weights.shape[2:]
    own = own_places(subject.contract.formula.causal, queries, keys)
    distance = np.abs(np.arange(keys) - own[:, None])
    order = np.argsort(distance, axis=1, kind="stable")
    steps = np.take_along_axis(distance, order, 1)
    sorted_weights = np.take_along_axis(weights, np.broadcast_to(order, weights.shape), -1)
    nearer, further = sorted_weights[..., :-1], sorted_weights[..., 1:]
    seen = subject.contract.formula.visible(queries, keys)
    shown = np.ones((queries, keys), bool) if seen is None else np.take_along_axis(seen, order, 1)
    told = (np.diff(steps, axis=1) > 0) & shown[:, :-1] & shown[:, 1:]
    wrong = told & (further > 0) & (nearer <= further)
    check.current().add_ratio(0.0)
    if wrong.any():
        place = tuple(int(n) for n in np.argwhere(wrong)[0])
        check.fail(
            f"the weight of the nearer key is {nearer[place]:.9g} and that of the further one {further[place]:.9g} at sample, "
            f"head, query {place[:3]}, but must be larger",
            what="weights",
        )
