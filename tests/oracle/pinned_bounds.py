"""What the rules of docs/bounds.md give on fixed numbers: a bound changes on purpose, and then this is written anew.

    .venv/bin/python -m tests.oracle.pinned_bounds   # writes pinned_bounds.json; say in the commit why a number changed

That a bound is never exceeded and not wide is shown by test_attention.py and test_gradients.py; they cannot see one rounding
more or less in a rule, and these numbers do.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from mhsa.oracle.attention import (
    Attention,
    Linear,
    MultiHead,
    ProjectionWeights,
    attention,
    core,
    merge_heads,
    multi_head,
    split_heads,
)
from mhsa.oracle.bounded import Arithmetic, Bounded, gamma
from mhsa.oracle.gradients import Gradients, derivative, gradients, tied
from mhsa.oracle.precision import PRECISIONS, Precision

FILE = Path(__file__).with_suffix(".json")
WHOLE = ("float64", "bfloat16")  # in which every constant of a rule is seen: coarse and fine, sums as fine as results or finer
LENGTHS = (1, 2, 15, 16, 17, 33, 256, 257, 300, 4000)


def numbers(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape) * scale


def bounded(seed: int, *shape: int, error: float = 1e-3) -> Bounded:
    return Bounded(numbers(seed, *shape), np.abs(numbers(seed + 100, *shape)) * error)


def rules(precision: Precision) -> Iterator[tuple[str, Bounded]]:
    """Each rule once, with errors that are far above one rounding, and with numbers that are exact."""
    by = Arithmetic(precision)
    for given, error in (("exact", 0.0), ("erring", 1e-3)):
        a, b, square = bounded(1, 2, 3, error=error), bounded(2, 2, 3, error=error), bounded(3, 3, 4, error=error)
        yield f"store {given}", by.store(a.value, a.error)
        yield f"store three times {given}", by.store(a.value, a.error, 3)
        yield f"add {given}", by.add(a, b)
        yield f"multiply {given}", by.multiply(a, b)
        yield f"total {given}", by.total(a, -1, 3)
        yield f"total of two axes {given}", by.total(a, (0, 1), 6)
        yield f"matmul {given}", by.matmul(a, square)
        yield f"matmul beside others {given}", by.matmul(a, square, times=3, roundings=5)
        yield f"linear {given}", by.linear(a, numbers(4, 2, 3), None)
        yield f"linear with bias {given}", by.linear(a, numbers(4, 2, 3), numbers(5, 2))
        yield f"scores {given}", by.scores(a, b.mT, 0.4)
        mask = np.array([[True, False, True], [False, False, False]])
        yield f"softmax {given}", by.softmax(a, None)
        yield f"softmax under a mask {given}", by.softmax(a, mask)
    far = np.array([[3.0, 2.5, -1.0], [0.0, -700.0, -800.0], [5.0, 4.0, 4.5]])
    yield "softmax far apart", by.softmax(Bounded(far, np.array([[0.5, 1.0, 2.0], [1.0, 30.0, 100.0], [0.0, 0.0, 0.0]])), None)
    lost = np.array([[299.0, 1.0, 0.0], [300.0, 0.0, 1.0], [301.0, 0.0, 0.5], [np.inf, 0.0, 1.0], [1.0, 1e9, 2.0]])
    yield "softmax of what is lost", by.softmax(Bounded(numbers(6, 5, 3), lost), None)
    yield "softmax of what is lost, of a sample", by.softmax(Bounded(numbers(6, 1, 5, 3), lost[None]), None)
    yield "softmax far apart under a mask", by.softmax(Bounded.exact([[0.0, -700.0, 1.0]]), np.array([[True, True, False]]))
    yield "softmax of one key", by.softmax(bounded(7, 2, 1), None)
    yield "softmax of many keys", by.softmax(bounded(8, 1, 40, error=1e-6), None)
    yield "softmax of no key", by.softmax(Bounded(np.zeros((2, 0)), np.zeros((2, 0))), None)
    sums = [[gamma(n, u) for n in (1, 7)] for u in (precision.unit, precision.accumulation)]
    yield "gamma", Bounded(np.array(sums), np.zeros((2, 2)))
    if gamma(LENGTHS[-1] * 2, precision.unit) < 1:
        softmaxes = np.array([by.normalisation(n) for n in LENGTHS])
        yield "normalisation", Bounded(softmaxes, np.zeros(len(LENGTHS)))
    shares = np.array([by.normalisation(n) for n in LENGTHS[:5]])
    yield "normalisation of few keys", Bounded(shares, np.zeros(5))


def projections(width: int, *, bias: bool) -> ProjectionWeights:
    roles = range(20, 24)
    return ProjectionWeights(*(Linear(numbers(n, width, width), numbers(n + 10, width) if bias else None) for n in roles))


def of(name: str, result: Attention) -> Iterator[tuple[str, Bounded]]:
    yield f"{name}: output", result.output
    yield f"{name}: weights", result.weights
    yield f"{name}: scores", result.scores
    if isinstance(result, MultiHead):
        yield f"{name}: mixed", result.mixed


def differentiated(name: str, found: Gradients) -> Iterator[tuple[str, Bounded]]:
    for part in ("query", "key", "value"):
        yield f"{name}: {part}", getattr(found, part)
    for part, gradient in found.parameters.items():
        yield f"{name}: {part}", gradient


def whole(precision: Precision) -> Iterator[tuple[str, Bounded]]:
    """Attention as a whole, its gradients and its derivative in one direction."""
    query, key, value = numbers(11, 1, 2, 6), numbers(12, 1, 4, 6), numbers(13, 1, 4, 6)  # two heads of size 3
    mask = np.array([[[True, True, False, True], [False, False, False, False]]])
    bias = numbers(14, 1, 2, 4)
    yield from of("attention", attention(query, key, value, None, precision))
    yield from of("attention under a mask", attention(query, key, value, mask, precision))
    yield from of("attention, uniform", attention(query, key, value, mask, precision, "uniform"))
    yield from of("uniform, of one key", attention(query, key[:, :1], value[:, :1], mask[..., 2:3], precision, "uniform"))
    yield from of(
        "core", core(Arithmetic(precision), bounded(15, 2, 3), bounded(16, 4, 3), bounded(17, 4, 2), None, bias=bias[0])
    )
    for name, options in {
        "multi_head": {"mask": None},
        "multi_head under a mask": {"mask": mask},
        "multi_head with all": {"mask": mask, "fully_masked_row": "uniform", "bias": bias, "exact_heads": True},
    }.items():
        of_these = projections(6, bias=name != "multi_head")
        result = multi_head(query, key, value, of_these, 2, precision=precision, **options)
        yield from of(name, result)
        yield from differentiated(f"gradients of {name}", gradients(result, precision, numbers(18, 1, 2, 6)))
        d_weights = numbers(19, 1, 2, 2, 4)
        upstream = numbers(18, 1, 2, 6)
        unsure = replace(result, mixed=Bounded(result.mixed.value, 1000.0 * result.mixed.error))
        yield f"{name}, mixed values less sure: query", gradients(unsure, precision, upstream).query
        yield (
            f"{name}, so with weights: query",
            gradients(unsure, precision, upstream, numbers(19, 1, 2, 2, 4)).query,
        )
        yield from differentiated(f"with weights, of {name}", gradients(result, precision, numbers(18, 1, 2, 6), d_weights))
        moved = derivative(result, precision, numbers(31, 1, 2, 6), numbers(32, 1, 4, 6), numbers(33, 1, 4, 6))
        yield f"derivative of {name}", moved
    # Two samples of 20 queries: sums over 40 tokens are stored three times on their way. Scores so far apart that the weights
    # of some keys vanish.
    long = multi_head(
        numbers(41, 2, 20, 2, scale=30.0), numbers(42, 2, 2, 2, scale=30.0), numbers(43, 2, 2, 2), projections(2, bias=True), 1,
        None, precision,
    )  # fmt: skip
    found = gradients(long, precision, numbers(44, 2, 20, 2))
    yield from ((f"gradients over 40 tokens: {name}", part) for name, part in found.parameters.items())
    yield "gradients over 40 tokens: key", found.key
    yield "tied", tied(precision, [bounded(51, 2, 2), bounded(52, 2, 2), bounded(53, 2, 2)])
    yield "tied, one", tied(precision, [bounded(51, 2, 2)])
    yield "heads", split_heads(bounded(54, 1, 2, 6), 3)
    yield "heads merged", merge_heads(bounded(54, 1, 2, 3, 2))


def quantities() -> Iterator[tuple[str, Bounded]]:
    for name, precision in PRECISIONS.items():
        yield from ((f"{name}, {what}", found) for what, found in rules(precision))
        if name in WHOLE:
            yield from ((f"{name}, {what}", found) for what, found in whole(precision))


def as_data(found: Bounded) -> dict[str, list]:
    def written(array: np.ndarray) -> list[float]:
        return [float(f"{x:.10g}") for x in array.ravel()]

    return {"shape": list(found.value.shape), "value": written(found.value), "error": written(found.error)}


if __name__ == "__main__":
    with np.errstate(all="ignore"):
        lines = [f"{json.dumps(name)}: {json.dumps(as_data(found))}" for name, found in quantities()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
