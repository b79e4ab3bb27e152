"""Results are checked before they are timed: at the same shape, dtype and device, against the oracle."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mhsa.bench.measure.expected import STREAM, Inputs, Oracle, rows_of
from mhsa.bench.measure.implementation import Built
from mhsa.bench.measure.measurement import Pass
from mhsa.oracle.bounded import Array, Bounded, gamma
from mhsa.subject import check
from mhsa.subject.check import Violation
from mhsa.subject.crafted_inputs import one_hot_attention, two_clusters, uniform_attention
from mhsa.subject.memory_layout import is_tensor, numbers
from mhsa.subject.trial import Trial

_SHORT = 16  # tokens: the bound of a softmax grows with their number, by what an online one may round in between
_CLEAR = 110.0  # in a score: 1 + exp(-110) is 1 in every format, and thousands of it are


def find_mismatch(built: Built, passes: Pass, known: Oracle, *, generic: bool = True) -> str:
    """Return what is wrong with the result of a pass, in words; empty if it is within the oracle's bounds.

    Tokens of which each query picks one show a key that is lost or in another's place; at most 16 tokens of two kinds show
    scales and softmax, and in training some that share all weight alike the gradients of scores; generic numbers go into all
    projections and sums, in half formats of no more tokens than a bound says something of. Of these the output is compared
    at :func:`rows_of`, and the gradients of a loss that looks at those rows: a dense one would need every score of the oracle.
    ``generic=False`` leaves those numbers out, which take the oracle's time.

    Raises whatever the contender raises at the timed shape, where it cannot do this at all.
    """
    trial = built.trial
    compare = _forward if passes == "forward" else _training
    with check.recording():
        try:
            _picked(built, passes)
            _in_two_clusters(built, compare, known)
            if passes == "training":
                _uniform_attention(built)
            if generic:
                _generic(built, compare, known)
        except Violation as violation:
            return str(violation)
        finally:
            trial.fill(trial.case)  # what is timed
    return ""


def holds_at_few_tokens(built: Built, passes: Pass, known: Oracle) -> str:
    """Return in words that a wrong contender is right where there are few tokens; empty if it is not, or has no more."""
    if built.shape.length <= _SHORT:
        return ""
    with check.recording():
        try:
            _in_two_clusters(built, _forward if passes == "forward" else _training, known)
        except Exception:
            return ""
        finally:
            built.trial.fill(built.trial.case)
    return f"it is right at {_SHORT} tokens, and not at the {built.shape.length} that would be timed"


def longest(trial: Trial) -> int:
    """Return the longest sequence that the oracle's bound says something of.

    An online softmax that stores its sums in the dtype rounds them for every block of 16 keys, four times; together that may
    take an eighth of a weight, not more.
    """
    return int(0.125 / trial.precision.unit * 16 / 4)


def _generic(built: Built, compare: Callable[[Built, Inputs, Oracle], None], known: Oracle) -> None:
    trial, shape = built.trial, built.shape
    trial.fill(trial.case)
    length = min(shape.length, longest(trial))
    rows = rows_of(replace(shape, length=length))
    rows = np.arange(built.queries(length))[: len(rows)] if shape.queries else rows
    _at_length(built, length, lambda: compare(built, Inputs(trial, trial.query[:, :length], rows), known))


def _in_two_clusters(built: Built, compare: Callable[[Built, Inputs, Oracle], None], known: Oracle) -> None:
    trial = built.trial
    length = min(built.shape.length, _SHORT)
    x = two_clusters(trial, length)
    rows = np.arange(built.queries(length))
    _at_length(built, length, lambda: compare(built, Inputs(trial, x, rows, exact=True), known))


def _at_length(built: Built, length: int, step: Callable[[], None]) -> None:
    """Take a step; what it raises at another length than the timed one says nothing: a module may be made for one length."""
    try:
        step()
    except Violation:
        raise
    except Exception:
        if length == built.shape.length:
            raise


def _uniform_attention(built: Built) -> None:
    """Compare the gradients that go through the scores, where every query attends to all keys alike: nearly exact."""
    trial, shape = built.trial, built.shape
    length = min(shape.length, _SHORT) // 2 * 2
    if not length:
        return  # of one token the weight is 1, whatever the scores are
    for silent in ("query", "key"):
        x = uniform_attention(trial, length, silent)
        p = trial.projections
        q, k, v = ((x @ m.weight.T).reshape(*x.shape[:2], shape.head, -1).swapaxes(1, 2) for m in (p.query, p.key, p.value))
        dz = np.zeros_like(v)
        dz[..., 0] = v[..., 0]  # one feature of each head: a query prefers the keys of its own kind by 1
        ds = dz @ v.swapaxes(-1, -2) / length  # its mean over the keys is 0
        of_heads = ds @ k if silent == "query" else ds.swapaxes(-1, -2) @ q
        must = np.einsum("btd,bte->de", of_heads.swapaxes(1, 2).reshape(x.shape), x) / np.sqrt(trial.case.d_k)
        leaf = trial.tensor(x).requires_grad_(True)
        try:
            output = built.bind(leaf)()
        except Exception:
            if length == shape.length:
                raise  # else it may be made for one length, as in _in_two_clusters
            return
        _numbers_of(output, built, x)
        start = dz.swapaxes(1, 2).reshape(x.shape) @ p.out.weight.T
        _, of_tensors = _differentiate(built, output, leaf, np.arange(length), start)
        observed = numbers(getattr(trial.views, silent).weight.gradient(of_tensors)[0])
        # Every number on the way is a whole one, or that by length or sqrt(d_k): a rounding for each step.
        tolerance = np.full_like(must, 16.0 * trial.precision.unit * np.abs(must).max())
        check.within(f"gradient of {silent}.weight where all attend to all alike", observed, Bounded(must, tolerance))


def _picked(built: Built, passes: Pass) -> None:
    """Compare where each query has one key to attend to, which makes output and gradient of x exact, for all queries."""
    trial, shape = built.trial, built.shape
    x = one_hot_attention(trial, shape.length, _CLEAR)
    p = trial.projections
    heads = (x @ p.key.weight.T).reshape(*x.shape[:2], shape.head, -1)
    # A token that is like another one in a head shares its weight there; the feature of the output that this head makes is
    # then left out.
    alone = np.array([[_single(heads[b, :, h]) for h in range(shape.head)] for b in range(shape.batch)])  # [B, H, T]
    made_by = np.abs(p.out.weight).argmax(axis=1) // trial.case.d_k  # [D], the head
    judged = alone[:, made_by].swapaxes(1, 2)  # [B, T, D]
    leaf = trial.tensor(x).requires_grad_(passes == "training")
    with torch.set_grad_enabled(passes == "training"):
        output = built.bind(leaf)()
        found = _numbers_of(output, built, x)
        must = x @ p.value.weight.T @ p.out.weight.T
        queries = built.queries(shape.length)
        must, judged = must[:, :queries], judged[:, :queries]
        check.within("output where each query picks its own key", found, Bounded(must, _tolerance(trial, must, 0.0)), judged)
        if passes == "training":
            # Whole numbers: <dZ, V> and <dZ, Z> are then the same number to the last bit, and their difference is 0.
            start = trial.case.rng(STREAM).choice([-2.0, -1.0, 1.0, 2.0], size=x.shape) * judged
            observed = _differentiate(built, output, leaf, np.arange(shape.length), start)[0]
            must = start @ p.out.weight @ p.value.weight
            largest = float(np.abs(p.query.weight).max()) * math.sqrt(trial.case.d_k)
            tolerance = Bounded(must, _tolerance(trial, must, largest))
            check.within("gradient of x where each query picks its own key", observed, tolerance)


def _single(tokens: Array) -> NDArray[np.bool_]:
    """Return which of some rows [T, d] there is only one of."""
    _, where, counts = np.unique(tokens, axis=0, return_inverse=True, return_counts=True)
    single: NDArray[np.bool_] = (counts == 1)[where.reshape(-1)]
    return single


def _tolerance(trial: Trial, x: Array, largest: float) -> Array:
    """Return how far numbers may be from x that are x times a weight of 1.

    The weight is stored, as are what it is multiplied with and the result: four roundings, and as many for forming it. Formed
    anew from a kept log-sum-exp, as in the backward pass of a fused kernel, it has the errors of two scores of size
    ``largest``: of a sum over d_k, of eight roundings of the score, the scale and the log-sum-exp (docs/bounds.md). Where that
    is more than the weight itself, as in half formats, only what must be 0 is judged. Then there is what other weights add,
    of exp(-110), were there a million of them with gradients of a thousand.
    """
    precision = trial.precision
    step = gamma(trial.case.d_k + 2, precision.accumulation) + gamma(8, precision.unit)
    again = np.expm1(min(2.0 * step * largest, math.log(2.0))) if largest else 0.0
    tolerance: Array = (8.0 * precision.unit + again) * np.abs(x) + 1e9 * np.exp(-_CLEAR)
    return tolerance


def _forward(built: Built, inputs: Inputs, known: Oracle) -> None:
    x = inputs.trial.tensor(inputs.x)
    with torch.no_grad():
        _compare_output(built, built.bind(x)(), inputs, known)
        if built.contender.need_weights:
            weights = inputs.trial.subject.caller(
                inputs.trial.module,
                x[:, : built.queries(x.size(1))].contiguous() if built.shape.queries else x,
                x,
                x,
                None,
                True,
            )[1]
            if not is_tensor(weights):
                check.fail(f"weights are a {type(weights).__name__}, but were asked for", what="weights")
            check.within("weights", numbers(weights)[:, :, inputs.rows], known.forward(inputs).weights)


def _training(built: Built, inputs: Inputs, known: Oracle) -> None:
    trial = inputs.trial
    leaf = trial.tensor(inputs.x).requires_grad_(True)
    output = built.bind(leaf)()
    _compare_output(built, output, inputs, known)
    of_x, of_tensors = _differentiate(built, output, leaf, inputs.rows, inputs.start)
    expected, of_parameters = known.backward(inputs)
    check.within("gradient of x", of_x, expected)
    for name, view in trial.views.views():
        check.within(f"gradient of {name}", numbers(view.gradient(of_tensors)[0]), of_parameters[name])


def _compare_output(built: Built, output: Any, inputs: Inputs, known: Oracle) -> None:
    found = _numbers_of(output, built, inputs.x)
    check.within("output", found[:, inputs.rows], known.forward(inputs).output)


def _numbers_of(output: Any, built: Built, x: Array) -> Array:
    """Return the numbers of an output of the right form; a violation if it has another, or is not finite."""
    must = [x.shape[0], built.queries(x.shape[1]), x.shape[2]]
    if not is_tensor(output) or list(output.shape) != must or output.dtype != built.x.dtype:
        words = f"{output.dtype} {list(output.shape)}" if is_tensor(output) else type(output).__name__
        check.fail(f"output is {words}, but must be {built.x.dtype} {must}", what="output")
    found = numbers(output)
    check.finite("output", found)
    return found


def _differentiate(
    built: Built, output: Tensor, leaf: Tensor, rows: NDArray[np.int_], start: Array
) -> tuple[Array, dict[Tensor, Tensor]]:
    """Return the gradients of x, and of all tensors that have one, for ``start`` [B, rows, D] at the rows."""
    if not output.requires_grad:
        check.fail("output does not require a gradient, but must: its input does", what="gradients")
    dense = np.zeros(tuple(leaf.shape))
    dense[:, rows] = start
    leaves = (leaf, *built.leaves)
    found = torch.autograd.grad(output, leaves, built.trial.tensor(dense), allow_unused=True)
    of_tensors = {leaf: gradient for leaf, gradient in zip(leaves, found, strict=True) if gradient is not None}
    return numbers(of_tensors.get(leaf, torch.zeros_like(leaf))), of_tensors
