"""Generated inputs: a case is a handful of sizes and choices, and its numbers follow from them and a seed.

So Hypothesis shrinks a dozen small integers instead of thousands of floats, and a case can be printed in one line.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

from mhsa.oracle.bounded import Array

Tie = Literal["none", "kv", "all"]

# The first of each is the simplest, which shrinking ends in.
DATA = ("integers", "normal", "ties", "repeated", "tiny", "large")
MASKS = ("none", "all", "padding", "causal", "broadcast", "random", "fully_masked_row")
_WHOLE = np.array([1.0, -1.0, 2.0, -2.0])
_LARGEST = 4096  # of a size, in a case that comes from a file: larger ones would take minutes
BIASES = ("none", "full", "heads", "samples", "shared")  # of a given bias: one for each sample and head, or for all of them
LAYOUTS = ("contiguous", "offset", "transposed", "sliced", "expanded")
CONTIGUOUS = LAYOUTS[:2]


class _Key(ISeedSequence):
    """Seeds Philox with a key of 128 bits, as its argument ``key`` does, which asks the system for random numbers before."""

    def __init__(self, key: int) -> None:
        self.key = key

    def generate_state(self, n_words: int, dtype: Any = np.uint64) -> NDArray[Any]:
        """Return the key's two words."""
        return np.array([self.key & (2**64 - 1), self.key >> 64], dtype=np.uint64)


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        dtype: of parameters and tensors.
        batch, head, query_length, key_length, d_k: sizes; d_model = head * d_k.
        data: regime of the numbers, one of ``DATA``.
        mask: kind, one of ``MASKS``.
        layout: of query, key and value in memory, one of ``LAYOUTS``.
        tie: whether query, key and value are one tensor ("all"), key and value are ("kv"), or none.
        grad: whether autograd records the call.
        need_weights: whether the call requests the weights, where the subject has a switch for them.
        seed: of every number.
        bias: kind of the bias that is given, one of ``BIASES``; "none" but under the contract bias = "given".
    """

    dtype: str
    batch: int
    head: int
    query_length: int
    key_length: int
    d_k: int
    data: str = "integers"
    mask: str = "none"
    layout: str = "contiguous"
    tie: Tie = "none"
    grad: bool = False
    need_weights: bool = True
    seed: int = 0
    bias: str = "none"

    @property
    def d_model(self) -> int:
        """Width of the tensors."""
        return self.head * self.d_k

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Shape of the output, and of a gradient to start from."""
        return self.batch, self.query_length, self.d_model

    def __str__(self) -> str:
        """One line that says everything."""
        shared = {"none": "", "kv": ", key is value", "all": ", query is key is value"}[self.tie]
        grad = "autograd on" if self.grad else "no_grad"
        weights = "" if self.need_weights else ", weights not asked for"
        bias = "" if self.bias == "none" else f", bias {self.bias}"
        return (
            f"B={self.batch} H={self.head} Tq={self.query_length} Tk={self.key_length} d_k={self.d_k} "
            f"(d_model={self.d_model}), {self.dtype}, data {self.data}, mask {self.mask}{bias}, {self.layout}, {grad}"
            f"{shared}{weights}, seed {self.seed}"
        )

    def require_known(self) -> None:
        """Raise ValueError unless every choice is one that there is, and every size is affordable."""
        choices = {
            "dtype": (self.dtype, ("float64", "float32", "bfloat16", "float16")),
            "data": (self.data, DATA),
            "mask": (self.mask, MASKS),
            "layout": (self.layout, LAYOUTS),
            "tie": (self.tie, ("none", "kv", "all")),
            "bias": (self.bias, BIASES),
        }
        for name, (given, known) in choices.items():
            if given not in known:
                raise ValueError(f"a case with {name}={given!r}; must be one of {', '.join(known)}")
        sizes = (self.batch, self.head, self.query_length, self.key_length, self.d_k)
        if min(sizes[1], sizes[4]) < 1 or min(sizes) < 0 or max(sizes) > _LARGEST or not 0 <= self.seed < 2**64:
            raise ValueError(
                f"a case with sizes {sizes} and seed {self.seed}; sizes must be 0 to {_LARGEST}, a seed 0 to 2**64 - 1"
            )

    def resized(self, **sizes: int) -> Case:
        """Return the case with other sizes."""
        return replace(self, **sizes)  # type: ignore[arg-type]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON; without a bias where there is none."""
        return {name: value for name, value in asdict(self).items() if (name, value) != ("bias", "none")}

    def rng(self, stream: int) -> np.random.Generator:
        """Return an independent generator per stream: one tensor's numbers do not move when another's size does."""
        key: Any = _Key(self.seed * 1000 + stream)
        return np.random.Generator(np.random.Philox(key))  # the generator that is made fastest

    def inputs(self) -> tuple[Array, Array, Array]:
        """Return query [B, Tq, D], key and value [B, Tk, D], not yet rounded to the dtype; tied ones are one object."""
        query = self._tokens(0, self.query_length)
        if self.tie == "all":
            return query, query, query
        key = self._tokens(1, self.key_length)
        return query, key, key if self.tie == "kv" else self._tokens(2, self.key_length)

    def _tokens(self, stream: int, length: int) -> Array:
        shape = (self.batch, length, self.d_model)
        rng = self.rng(stream)
        whole = self.data in ("integers", "ties")
        x = _WHOLE[rng.integers(4, size=shape)] if whole else rng.standard_normal(shape)
        if self.data == "ties" and length:  # few different tokens: the row maximum is reached several times
            x = np.take_along_axis(x, rng.integers(0, min(length, 2), size=(self.batch, length, 1)), axis=1)
        if self.data == "repeated":
            x = np.repeat(x[:, :1], length, axis=1)
        if self.layout == "expanded":  # one stretch of memory seen by the whole batch
            x = np.repeat(x[:1], self.batch, axis=0)
        # Powers of two, so that scaling is exact. "large" makes scores of some hundred: exp overflows in float32 beyond
        # 88 unless the maximum is taken off first, while a mask filled with -1e9 is still as good as -inf.
        return x * {"tiny": 2.0**-12, "large": 2.0**4}.get(self.data, 1.0)

    def parameters(self, shapes: Sequence[tuple[int, ...]]) -> Iterator[Array]:
        """Numbers for weights and biases, of a size that keeps projected features near that of the inputs."""
        rng = self.rng(100)  # one for all: making a generator costs as much as drawing from it
        sizes = [math.prod(shape) for shape in shapes]
        whole = self.data in ("integers", "ties")
        drawn = _WHOLE[rng.integers(4, size=sum(sizes))] if whole else rng.standard_normal(sum(sizes))
        start = 0
        for shape, size in zip(shapes, sizes, strict=True):
            x = drawn[start : start + size].reshape(shape)
            start += size
            if len(shape) == 1:
                yield x
            else:  # whole numbers by a power of two near the root, so that they stay exact
                yield x * 2.0 ** -round(math.log2(2.5 * shape[-1]) / 2) if whole else x / math.sqrt(shape[-1])

    def score_bias(self) -> Array | None:
        """Return the bias [B or 1, H or 1, Tq, Tk], not yet rounded to the dtype; None for kind "none"."""
        if self.bias == "none":
            return None
        batch = self.batch if self.bias in ("full", "samples") else 1
        head = self.head if self.bias in ("full", "heads") else 1
        shape, rng = (batch, head, self.query_length, self.key_length), self.rng(4)
        whole = self.data in ("integers", "ties", "repeated")
        return _WHOLE[rng.integers(4, size=shape)] if whole else rng.standard_normal(shape)

    def allowed(self) -> NDArray[np.bool_] | None:
        """Mask [B, Tq, Tk], True may attend; None for kind "none". Only "fully_masked_row" leaves a query without any key.

        With two keys or more, every kind but "none", "all" and "causal" masks something, so that small cases show it.
        """
        shape = (self.batch, self.query_length, self.key_length)
        if self.mask == "none":
            return None
        if self.mask == "all":
            return np.ones(shape, dtype=bool)
        if self.mask == "causal":
            return np.broadcast_to(np.tri(self.query_length, self.key_length, dtype=bool), shape).copy()
        rng = self.rng(3)
        if self.mask == "padding":
            lengths = rng.integers(1, self.key_length + 1, size=(self.batch, 1, 1))
            if rng.random() < 0.5:
                lengths[:] = self.key_length
            padded = rng.integers(self.batch)  # any sample, alone in half of the cases: the others may then need no mask
            lengths[padded] = np.minimum(lengths[padded], max(self.key_length - 1, 1))
            return np.broadcast_to(np.arange(self.key_length) < lengths, shape).copy()
        drawn = rng.random(shape) < 0.6
        if self.mask == "broadcast":
            drawn = np.broadcast_to(drawn[:1], shape).copy()
        # Give each query at least one key, the same one in every sample of a broadcast mask.
        key = rng.integers(0, self.key_length, size=shape[:2])
        key = np.broadcast_to(key[:1], shape[:2]) if self.mask == "broadcast" else key
        if self.key_length > 1:
            sample, row = rng.integers(self.batch), rng.integers(self.query_length)
            hidden = (key[sample, row] + 1) % self.key_length
            drawn[slice(None) if self.mask == "broadcast" else sample, row, hidden] = False
        np.put_along_axis(drawn, key[..., None], True, axis=2)
        if self.mask == "fully_masked_row":
            drawn[rng.integers(self.batch), rng.integers(self.query_length)] = False
        return drawn
