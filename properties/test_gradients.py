"""Gradients, element by element, against the oracle's own chain rule and its bound."""

import numpy as np
import torch
from hypothesis import given
from torch import Tensor

from mhsa.judge.budget import light, rare, slow
from mhsa.judge.drawing.choices import one_of
from mhsa.judge.incoming_gradient import IncomingGradient
from mhsa.judge.strategies import cases
from mhsa.oracle.bounded import Array
from mhsa.oracle.gradients import derivative
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.autograd import is_custom
from mhsa.subject.docstrings.gradients import says_detached
from mhsa.subject.guard import attempt, guard
from mhsa.subject.memory_layout import lay_out, numbers, tied
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "padding", "causal", "random")
SINGLE = ("float64", "float32")


def inputs_are_differentiated(trial: Trial) -> None:
    """Fail unless query, key and value receive the oracle's gradients."""
    derivatives = trial.differentiate(trial.cotangent(20, trial.case.output_shape))
    for name in ("query", "key", "value"):
        if name in derivatives.observed:
            check.within(f"gradient of {name}", derivatives.observed[name], derivatives.expected[name])


@given(case=cases(masks=ANY, biased=True))
def test_gradients_of_inputs(subject: Subject, case: Case) -> None:
    """Query, key and value receive the gradients of the formula.

    Statement: with G = dL/dO, per head: dV = P^T dZ, dP = dZ V^T, dS = P (dP - rowsum(P dP)) / sqrt(d_k), dQ = dS K,
        dK = dS^T Q, and dq, dk, dv through W_Q, W_K, W_V; each element within the bound of the same arithmetic.
    Requires: autograd.
    Source: the chain rule; A27, P16; bound: docs/bounds.md.
    Breaks it: a hand-written backward without the scale or without the row sum (fla PR#6), a detach on one path, gradients
        of key and value exchanged.
    """
    inputs_are_differentiated(Trial(subject, case))


@given(case=cases(masks=ANY, small=True))
def test_gradients_of_parameters(subject: Subject, case: Case) -> None:
    """Every weight and bias receives the gradient of the formula.

    Statement: dW = sum_b (dY_b)^T X_b and db = sum dY for each of the four maps Y = X W^T + b; within the bound.
    Requires: autograd; parameters that require a gradient.
    Source: the chain rule; P16.
    Breaks it: a projection called under no_grad or detached, one that is used twice, a backward that returns too few or
        exchanged gradients (long-context-attention#149).
    """
    trial = Trial(subject, case)
    derivatives = trial.differentiate(trial.cotangent(20, case.output_shape))
    for name, _ in trial.views.views():
        check.within(f"gradient of {name}", derivatives.observed[name], derivatives.expected[name])


@rare
@given(case=cases(masks=ANY, large="length"))
def test_gradients_of_long_rows(subject: Subject, case: Case) -> None:
    """The gradients of the inputs are right for long sequences too.

    Statement: as gradients_of_inputs, for 15 to 600 keys, on both sides of the edges of tiles.
    Requires: autograd.
    Source: the chain rule; P16, P21; bound: docs/bounds.md.
    Breaks it: a kernel for long rows whose backward pass is missing or treats its last tile as full.
    """
    inputs_are_differentiated(Trial(subject, case))


@rare
@given(case=cases(masks=ANY, large="length"), sign=one_of((-1.0, 1.0)))
def test_gradients_of_scores_far_from_zero(subject: Subject, case: Case, sign: float) -> None:
    """The same number added to all scores changes nothing, however large it is: no gradient overflows.

    Statement: as gradients_of_inputs, with one feature of every query and key of each head such that it adds +-c to all scores,
        192 <= c < 800: at the length of the case, and with -c at 64 and at 192 keys, which fill half of a larger tile.
    Requires: autograd; projections of query and key that can be written.
    Source: A7 (softmax knows no shift); exp overflows float32 beyond 88.7; pytorch/pytorch#196678: keys that fill up a tile
        have scores of 0 in the backward pass, where exp(0 - lse) is infinite.
    Breaks it: padding that is let into the backward pass, a maximum that begins with 0 or -1e4, a log of a sum that is not kept
        in addition to the maximum.
    """
    # Fused kernels, which have tiles, take multiples of 8 features only.
    d_k = case.d_k if subject.adapter.sizes or case.d_k % 8 == 0 else subject.features(8)
    for keys, features, way in ((case.key_length, case.d_k, sign), (64, d_k, -1.0), (192, d_k, -1.0)):
        queries = keys if case.tie == "all" else case.query_length
        trial = Trial(subject, case.resized(key_length=keys, query_length=queries, d_k=features))
        shift_scores(trial, way)
        inputs_are_differentiated(trial)


def shift_scores(trial: Trial, sign: float) -> None:
    """Let the first feature of each head add the same number to all scores: no less than 192, or no more than -192."""
    d_k = trial.d_k
    # A power of two, which every format holds: its square divided by sqrt(d_k) lies between 192 and 4 * 192.
    feature = 2.0 ** np.ceil(np.log2(np.sqrt(192 * np.sqrt(d_k))))
    query, key = trial.projections.query, trial.projections.key
    changed = {}
    for name, linear, size in (("query", query, feature), ("key", key, sign * feature)):
        weight = linear.weight.copy()
        rows = np.arange(0, len(weight), d_k)
        weight[rows] = 0.0
        if linear.bias is None:  # the first number of every token is 1
            weight[rows, 0] = size
        else:
            bias = linear.bias.copy()
            bias[rows] = size
            changed[f"{name}_bias"] = bias
        changed[f"{name}_weight"] = weight
    trial.write(**changed)
    if query.bias is None or key.bias is None:
        trial.query, trial.key, trial.value = trial.each(first_is_one)


def first_is_one(x: Array) -> Array:
    """Return tokens with a first number of 1."""
    return np.concatenate([np.ones_like(x[..., :1]), x[..., 1:]], axis=-1)


@light
@given(case=cases(masks=ANY, min_keys=2, small=True))
def test_everything_that_matters_receives_its_gradient(subject: Subject, case: Case) -> None:
    """What the output depends on is known to autograd.

    Statement: for x in (q, k, v, W, b of all four maps): if the exact dL/dx is not zero, dL/dx is not None and not zero.
    Requires: autograd; parameters that require a gradient.
    Source: P16.
    Breaks it: .data, .detach(), .item() or numpy on the way; a parameter rebuilt from its numbers; requires_grad lost.
    """
    trial = Trial(subject, case)
    derivatives = trial.differentiate(trial.cotangent(20, case.output_shape))
    for name, required in derivatives.expected.items():
        surely = np.abs(required.value) > required.error
        if not surely.any():
            continue
        if name in derivatives.missing:
            check.fail(f"{name} receives no gradient, but the output depends on it", what=f"gradient of {name}")
        where = np.unravel_index(int(np.abs(np.where(surely, required.value, 0.0)).argmax()), surely.shape)
        if not derivatives.observed[name].any():
            check.fail(
                f"gradient of {name} is zero everywhere, but at {[int(i) for i in where]} must be {required.value[where]:.3g}",
                what=f"gradient of {name}",
            )


@light
@given(case=cases(masks=("padding", "random", "causal"), ties=("none", "kv")))
def test_masked_keys_receive_no_gradient(subject: Subject, case: Case) -> None:
    """Keys and values that no query may attend to receive a gradient of exactly zero.

    Statement: M_bij false for all i implies dL/dk_bj = 0 and dL/dv_bj = 0.
    Requires: key and value apart from query; autograd.
    Source: A17; flash-attention's test_flash_attn_bwd_overflow (elements beyond the end not masked in backward).
    Breaks it: a mask that the backward pass forgets, a fill that leaks, a regularising term over all keys.
    """
    trial = Trial(subject, case)
    assert trial.mask is not None
    mask = trial.mask.copy()
    if case.key_length > 1:
        mask[:, :, 0], mask[:, :, 1] = True, False
    mask = trial.opened(mask)
    assert mask is not None
    derivatives = trial.differentiate(trial.cotangent(20, case.output_shape), mask=mask)
    assert derivatives.answer.mask is not None
    hidden = ~derivatives.answer.mask.any(axis=1)[..., None]
    for name in ("key", "value"):
        if name in derivatives.observed:
            at_masked = np.where(hidden, derivatives.observed[name], 0.0)
            check.exactly(f"gradient of {name} at masked keys", at_masked, np.zeros_like(at_masked))


@light
@given(case=cases(masks=ANY, min_batch=2, small=True))
def test_samples_receive_no_gradient_from_each_other(subject: Subject, case: Case) -> None:
    """The output of one sample has no gradient with respect to another.

    Statement: dO_b / dx_b' = 0 exactly for b' != b and x in (q, k, v).
    Requires: two samples; autograd. Samples that share memory share a gradient and are left alone.
    Source: A24; Flax' receptive-field test does the same for positions.
    Breaks it: a reshape that mixes samples (tokenlearner-pytorch#1), statistics over the batch.
    """
    trial = Trial(subject, case)
    chosen = int(case.rng(11).integers(case.batch))
    mine = (np.arange(case.batch) == chosen)[:, None, None]
    derivatives = trial.differentiate(np.where(mine, trial.cotangent(20, case.output_shape), 0.0))
    for name in ("query", "key", "value"):
        if name in derivatives.observed:
            others = np.where(mine, 0.0, derivatives.observed[name])
            check.exactly(f"gradient of {name} of other samples", others, np.zeros_like(others))


@light
@given(case=cases(masks=ANY, need_weights=True, min_keys=2, small=True))
def test_gradient_through_the_weights(subject: Subject, case: Case) -> None:
    """A loss on the weights that are returned is differentiated as well.

    Statement: for L = <O, G> + <A, C>: dP = dZ V^T + C; everything else as without C. So in train mode with dropout 0. Weights
        returned that take part in autograd in one call, in eval or train mode, masked or not, do so in train mode.
    Requires: weights that are returned and not declared detached by requires_grad = False in all of these, or by a docstring.
    Source: the chain rule; P16.
    Breaks it: a hand-written backward that ignores the gradient of its second output; weights detached in train mode alone.
    """
    trial = Trial(subject, case)
    shape = (case.batch, case.head, case.query_length, case.key_length)
    d_output, d_weights = trial.cotangent(20, case.output_shape), trial.cotangent(21, shape)
    derivatives = trial.differentiate(d_output, d_weights)
    check.offered(derivatives.answer.weights)
    parts = where_they_take_part(trial)
    if not any(parts.values()):
        check.inapplicable("needs weights that take part in autograd, and the subject's are detached")
    apart = next((where for where, takes in parts.items() if not takes and "train" in where), "")
    if apart and isinstance(subject.caller.weights_from, int):  # what is kept for pictures promises nothing
        if says_detached(trial.module):
            check.inapplicable("needs weights that take part in autograd, and a docstring says that the subject's are detached")
        joined = next(where for where, takes in parts.items() if takes)
        check.fail(f"the weights take part in autograd {joined}, but not {apart}", what="gradients")
    handed_out = derivatives.answer.tensors[1]
    if handed_out is None or not handed_out.requires_grad:
        check.inapplicable("needs weights that take part in autograd, and the subject's are detached in eval mode")
    for name, gradient in derivatives.observed.items():
        check.within(f"gradient of {name}", gradient, derivatives.expected[name])
    module = guard("building it without dropout", lambda: subject.adapter.build_dropping(case.head, case.d_model, 0.0))
    if module is None or apart:
        return
    trial = Trial(subject, case, module=module)
    trial.train()
    for name, gradient in trial.differentiate(d_output, d_weights).observed.items():
        check.within(f"gradient of {name} in train mode", gradient, derivatives.expected[name])


def where_they_take_part(trial: Trial) -> dict[str, bool]:
    """Return whether the weights take part in autograd, by how the module is called: in which mode, under a mask or not."""
    q, k, v, mask = trial.last_tensors
    leaves = {id(t): t.detach().requires_grad_() for t in (q, k, v)}
    found = {}
    for mode in ("eval", "train"):
        trial.train(mode == "train")
        for given_mask in (mask, None) if mask is not None else (None,):
            with torch.enable_grad():
                made, _ = attempt(lambda m=given_mask: trial.call_unchecked(leaves[id(q)], leaves[id(k)], leaves[id(v)], m))
            if made is not None and isinstance(made[0][1], Tensor):
                under = "without a mask" if given_mask is None else "under a mask"
                found[f"{under} in {mode} mode"] = made[0][1].requires_grad
    trial.train(False)
    return found


@light
@given(case=cases(masks=ANY, small=True), layout=one_of(("transposed", "columns", "sliced", "expanded")))
def test_layout_of_the_incoming_gradient(subject: Subject, case: Case, layout: str) -> None:
    """How dL/dO lies in memory does not matter, and it is left as it is.

    Statement: the gradients depend on the numbers of dL/dO only: transposed, cut out of a larger tensor, or expanded from one
        number with stride 0, as .sum().backward() makes it. dL/dO holds the same bits after the backward pass.
    Requires: autograd.
    Source: P17; flash-attention#355, xformers PR#282, FlagAttention PR#1. Autograd may give one tensor to several functions.
    Breaks it: a hand-written backward that takes it for contiguous, or scales it, or zeroes rows of it, in place.
    """
    trial = Trial(subject, case)
    d_output = trial.cotangent(20, case.output_shape)
    if layout == "expanded":
        d_output = np.broadcast_to(d_output[:1, :1, :1], d_output.shape).copy()

    incoming = IncomingGradient(lambda g: g[:1, :1, :1].expand(g.shape) if layout == "expanded" else lay_out(g, layout))
    derivatives = trial.differentiate(d_output, lay_out_gradient=incoming)
    for name, gradient in derivatives.observed.items():
        check.within(f"gradient of {name}", gradient, derivatives.expected[name])
    incoming.require_unchanged()


@slow
@light
@given(case=cases(masks=ANY, dtypes=SINGLE, small=True))
def test_derivatives_in_both_directions_agree(subject: Subject, case: Case) -> None:
    """Forward-mode and reverse-mode derivatives are transposes of each other.

    Statement: <w, J t> = <J^T w, t> for any direction t of the inputs and any w; and J t is within its bound.
    Requires: forward-mode automatic differentiation.
    Source: A28.
    Breaks it: a custom function whose jvp and backward disagree; a backward with a term too many.
    """
    trial = Trial(subject, case)
    w = trial.cotangent(20, case.output_shape)
    derivatives = trial.differentiate(w)
    tensors = (trial.query, trial.key, trial.value)
    streams = iter((30, 31, 32))
    directions = tied(lambda x: trial.cotangent(next(streams), x.shape), *tensors)
    # By name, as gradients are: tied tensors have one gradient, and move in one direction.
    tangents = {n: t for n, t in zip(("query", "key", "value"), directions, strict=True) if n in derivatives.observed}
    mask = trial.last_tensors[3]

    def forward_mode() -> Tensor:
        with torch.autograd.forward_ad.dual_level():
            moves = iter(tangents.values())
            q, k, v = tied(lambda x: torch.autograd.forward_ad.make_dual(trial.tensor(x), trial.tensor(next(moves))), *tensors)
            output = trial.call_unchecked(q, k, v, mask)[0]
            tangent = torch.autograd.forward_ad.unpack_dual(output).tangent
            return torch.zeros_like(output) if tangent is None else tangent

    result, said = attempt(forward_mode)
    if result is None:
        check.inapplicable(f"needs forward-mode derivatives: {said}")
    moved = numbers(result[0])
    direction = derivative(derivatives.answer.expected, trial.precision, *directions)
    check.within("derivative of the output", moved, direction)
    there = np.array([(w * moved).sum()])
    back = np.array([sum(float((derivatives.observed[n] * t).sum()) for n, t in tangents.items())])
    tolerance = (np.abs(w) * direction.error).sum()
    tolerance = tolerance + sum(float((derivatives.expected[n].error * np.abs(t)).sum()) for n, t in tangents.items())
    # Both sums are formed here in float64, of at most this many terms.
    size = (np.abs(w * moved)).sum() + sum(float(np.abs(derivatives.observed[n] * t).sum()) for n, t in tangents.items())
    tolerance = np.array([tolerance + 2.0**-52 * w.size * 4 * size])
    check.agree("<w, J t>", (there, tolerance), (back, np.zeros(1)))


@slow
@rare
@given(case=cases(masks=("none", "padding"), data=("normal",), dtypes=("float64",), small=True))
def test_second_derivatives(subject: Subject, case: Case) -> None:
    """Gradients can be differentiated again, as gradient penalties and second-order methods do.

    Statement: the derivative of dL/d(q, k, v) in a direction is that of finite differences of dL/d(q, k, v).
    Requires: float64; every step twice differentiable. A custom autograd.Function promises first derivatives only.
    Source: torch.autograd.gradgradcheck, with its step of 1e-6 and tolerances 1e-5 and 1e-3, chosen by torch for float64 where
        a central difference of that step is off by some 1e-10.
    Breaks it: a hand-written backward made of numbers that autograd does not follow.
    """
    case = case.resized(
        batch=1, query_length=min(case.query_length, 2), key_length=min(case.key_length, 2), layout="contiguous"
    )
    if subject.adapter.sizes is None:
        case = case.resized(head=min(case.head, 2), d_k=subject.features(min(case.d_k, 2)))
    if case.tie == "all":
        case = case.resized(query_length=case.key_length)
    if subject.contract.float64_in == "float32":
        check.inapplicable("needs float64 throughout, and the subject computes in float32")
    trial = Trial(subject, case)
    derivatives = trial.differentiate(trial.cotangent(20, case.output_shape))
    if is_custom(derivatives.answer.tensors[0]):
        check.inapplicable("needs plain torch functions: a custom autograd.Function promises first derivatives only")
    *tensors, mask = trial.last_tensors
    leaves = {t: t.detach().clone().requires_grad_() for t in tensors}

    def output(*arguments: Tensor) -> Tensor:
        moved = dict(zip(leaves, arguments, strict=True))
        result: Tensor = trial.call_unchecked(*(moved[t] for t in tensors), mask)[0]
        return result

    with torch.enable_grad():
        result, said = attempt(lambda: torch.autograd.gradgradcheck(output, tuple(leaves.values())))
    if result is None:
        if "not implemented" in said or "once_differentiable" in said:
            check.inapplicable(f"needs second derivatives: {said}")
        check.fail(f"second derivatives: {said}", what="second derivatives", observed=said)
