"""Attention in NumPy of which any stage may be done in a usual wrong way: what each way gives, the commonest first.

At most two mistakes are made at once; a wrong order of the axes of the heads counts once, wherever they are split and merged.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mhsa.introspect.readings.mistakes.wrong_maps import Mapped, linear, wrong_maps
from mhsa.oracle.attention import ProjectionWeights
from mhsa.oracle.bounded import Array

_MOST = 2
_AXES = ("samples", "heads", "tokens", "features")


@dataclass(frozen=True)
class Mistakes:
    """What is wrong with an attention.

    Attributes:
        words: each mistake.
        meant: whether an option that is not known might mean one of them, no scale say.
    """

    words: tuple[str, ...] = ()
    meant: bool = False

    def __add__(self, other: Mistakes) -> Mistakes:
        return Mistakes(self.words + other.words, self.meant or other.meant)

    def __str__(self) -> str:
        return " and ".join(self.words)


_Ways = Iterator[tuple[Mistakes, Array]]
NONE = Mistakes()


def wrong_outputs(tensors: tuple[Array, Array, Array], maps: ProjectionWeights, head: int) -> _Ways:
    """Yield mistakes and the output of an attention that makes them, but for the right one.

    Args:
        tensors: query, key and value [B, T, d_model].
        maps: the four projections.
        head: the number of heads.
    """
    batch, queries = tensors[0].shape[:2]
    width = maps.query.weight.shape[1]
    with np.errstate(all="ignore"):
        for mapped in wrong_maps(tensors, maps):
            so_far = Mistakes((mapped.wrong,), mapped.meant) if mapped.wrong else NONE
            for split, heads in _heads(mapped, head):
                q, k, v = heads
                scores = q @ np.swapaxes(k, -1, -2)
                for scaled, s in _within(_MOST, so_far + split, _scales(scores, q.shape[-1], width, head)):
                    for weighed, a in _within(_MOST, scaled, _softmaxes(s)):
                        for mixed, z in _within(_MOST, weighed, _mixes(a, q, k, v)):
                            for merged, y in _within(_MOST + bool(split.words), mixed, _merges(z, (batch, queries, head))):
                                yield from _projected(merged, y, maps)


def _within(most: int, so_far: Mistakes, ways: _Ways) -> _Ways:
    """Yield the ways of one stage with the mistakes before it, as long as there are not too many."""
    for mistakes, value in ways:
        together = so_far + mistakes
        if len(together.words) > most:
            return  # the right way comes first
        yield together, value


def _heads(mapped: Mapped, head: int) -> Iterator[tuple[Mistakes, tuple[Array, Array, Array]]]:
    """Yield queries, keys and values as heads [B, H, T, d]; wrong ones may have other numbers of samples and of tokens."""
    each = mapped.query, mapped.key, mapped.value
    if any(x.shape[-1] % head for x in each):
        return
    q, k, v = (x.reshape(*x.shape[:2], head, -1).transpose(0, 2, 1, 3) for x in each)
    yield NONE, (q, k, v)

    def viewed(x: Array, *order: int) -> Array:
        sizes = {0: x.shape[0], 1: head, 2: x.shape[1], 3: x.shape[2] // head}
        return x.reshape([sizes[n] for n in order])

    whole = [("[B, H, T, d]", (0, 1, 2, 3), (0, 1, 2, 3)), ("[H, B, T, d]", (1, 0, 2, 3), (1, 0, 2, 3)),
             ("[B, T, d, H]", (0, 2, 3, 1), (0, 3, 1, 2)), ("[B, d, T, H]", (0, 3, 2, 1), (0, 3, 2, 1)),
             ("[B, H, d, T]", (0, 1, 3, 2), (0, 1, 3, 2))]  # fmt: skip
    for name, order, turn in whole:
        split = [viewed(x, *order).transpose(turn) for x in each]
        yield Mistakes((f"heads are split by a view as {name}",)), (split[0], split[1], split[2])
    # Heads are not brought in front of the tokens: each token attends among its own heads.
    among = [np.swapaxes(x, 1, 2) for x in (q, k, v)]
    if q.shape[2] == k.shape[2]:
        yield Mistakes(("the heads of each token attend to each other, not its tokens",)), (among[0], among[1], among[2])


def _scales(scores: Array, d_k: int, width: int, head: int) -> _Ways:
    yield NONE, scores / np.sqrt(d_k)

    def scale(words: str, factor: float) -> tuple[Mistakes, Array]:
        return Mistakes((words,), meant=True), scores * factor

    yield scale("scores are not scaled", 1.0)
    batch, _, queries, keys = scores.shape
    sizes = {
        "d_model": width, "the width of all heads": d_k * head, "the number of keys": keys, "the number of queries": queries,
        "the number of heads": head, "the number of samples": batch, "the number of tokens": scores.shape[1],
    }  # fmt: skip
    for name, size in sizes.items():
        yield scale(f"scores are divided by the square root of {name}", size**-0.5)
        yield scale(f"scores are divided by {name}", 1 / size)
    yield scale("scores are divided by d_k and not by its square root", 1 / d_k)
    yield scale("scores are multiplied by the square root of d_k", d_k**0.5)
    yield scale("scores are multiplied by the square root of d_model", width**0.5)
    yield scale("scores are multiplied by d_k", d_k)
    yield scale("scores are scaled twice", d_k**-1.5)
    yield scale("scores are divided by the fourth root of d_k", d_k**-0.25)


def softmax(scores: Array, *axes: int) -> Array:
    """Return the softmax over these axes together."""
    e = np.exp(scores - scores.max(axis=axes, keepdims=True))
    weights: Array = e / e.sum(axis=axes, keepdims=True)
    return weights


def _softmaxes(scores: Array) -> _Ways:
    right = softmax(scores, -1)
    yield NONE, right
    for over, axes in (
        ("the queries", (-2,)), ("the heads", (1,)), ("the samples", (0,)), ("queries and keys together", (-2, -1)),
        ("heads and keys together", (1, -1)), ("all scores together", (0, 1, 2, 3)),
    ):  # fmt: skip
        yield Mistakes((f"the softmax runs over {over}",)), softmax(scores, *axes)
    yield Mistakes(("there is no softmax",), meant=True), scores
    yield Mistakes(("the softmax is taken twice",)), softmax(right, -1)
    yield Mistakes(("the logarithm of the softmax is taken",)), np.log(right)
    yield Mistakes(("there is a sigmoid in the place of the softmax",), meant=True), 1 / (1 + np.exp(-scores))


def _mixes(weights: Array, query: Array, key: Array, value: Array) -> _Ways:
    """Yield what the weights [B, H, Tq, Tk] make of the values [B, H, Tk, d]."""
    yield NONE, weights @ value
    if key.shape == value.shape:
        yield Mistakes(("the weights are applied to the keys",)), weights @ key
    if query.shape == value.shape:
        yield Mistakes(("the weights are applied to the queries",)), weights @ query
    if weights.shape[-1] == weights.shape[-2]:
        yield Mistakes(("the weights are applied transposed",)), np.swapaxes(weights, -1, -2) @ value
    total = np.broadcast_to(value.sum(-2, keepdims=True), (*weights.shape[:3], value.shape[-1]))
    yield Mistakes(("the values have no weights",)), total


def _merges(heads: Array, sizes: tuple[int, int, int]) -> _Ways:
    """Yield what the heads [B, H, T, d] are merged to: [B, T, H * d], by any turn of the axes."""
    batch, tokens, head = sizes
    if heads.size % (batch * tokens):
        return
    shape = (batch, tokens, heads.size // (batch * tokens))
    behind = heads.shape[:3] == (batch, tokens, head)  # heads that were not brought in front of the tokens
    right = (0, 1, 2, 3) if behind else (0, 2, 1, 3)
    yield NONE, np.ascontiguousarray(heads.transpose(right)).reshape(shape)
    for axes in (each for each in itertools.permutations(range(4)) if each != right):
        words = f"heads are merged in the order {', '.join(_AXES[n] for n in axes)}"
        yield Mistakes((words,)), np.ascontiguousarray(heads.transpose(axes)).reshape(shape)


def _projected(so_far: Mistakes, merged: Array, maps: ProjectionWeights) -> _Ways:
    out, few = maps.out, len(so_far.words) < _MOST
    wide = merged.shape[-1] == out.weight.shape[1]
    if so_far.words and wide:
        yield so_far, linear(merged, out)
    if few and merged.shape[-1] == out.weight.shape[0]:
        yield so_far + Mistakes(("the out projection is left out",), meant=True), merged
    if few and wide and out.bias is not None:
        yield so_far + Mistakes(("the bias of the out projection is left out",), meant=True), merged @ out.weight.T
    if few and merged.shape[-1] == out.weight.shape[0] == out.weight.shape[1]:
        transposed = merged @ out.weight + (0 if out.bias is None else out.bias)
        yield so_far + Mistakes(("the out projection is transposed",)), transposed
