"""Generic inputs: sizes that all differ and random numbers in float64, on which only the right reading agrees with the oracle.

Whatever is found out by calling uses these: a wrong axis, role or mask agrees to the last digits on none of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mhsa.oracle.bounded import Array, Bounded
from mhsa.records.case import Case
from mhsa.records.contract import Contract
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.several_calls import is_square
from mhsa.subject.answer import Mask
from mhsa.subject.forms.key_heads import key_heads
from mhsa.subject.forms.mask_conversion import ALIKE_FOR_QUERIES
from mhsa.subject.parameter_layout import Sizes
from mhsa.subject.subject import Subject

SIZES = Sizes(head=4, d_k=5)  # of a module that can be built in any
_WIDEST = 2000  # features of a head of a generic module: some fraction of them is rotated
_LONGEST = 130  # tokens: with more of them the many calls of a reading would be slow
_WINDOW = 6  # tokens of a window that is no row of them, and no square: 3 x 2
_DISTINCT = (2, 3, 7, 5, 11, 13, 17)  # primes: a product of two of them is not a third

# Places of queries and of keys, by the number of their axes, as a prime number of them has one axis: 2 x 3 and 2 x 7 pixels,
# 3 x 2 x 5 and 3 x 2 x 7 voxels.
_PLACES = {2: (6, 14), 3: (30, 42)}
_SAMPLES = {2: 6, 3: 12}  # where some of these axes may be of samples: 2 x 3, 2 x 2 x 3


def first_sizes(adapter: Adapter) -> Sizes:
    """Return the sizes of a module that is understood: its own, or generic ones.

    At least two pairs of features are rotated, and several heads of keys are shared by several of queries each, where that is
    declared: with one head of keys it does not show in which order a packed map has them.
    """
    if adapter.sizes is not None:
        return Sizes(adapter.sizes[0], adapter.sizes[1] // adapter.sizes[0])
    rotary, head = adapter.contract.formula.rotary, SIZES.head

    def fitting() -> Iterator[int]:
        widths = range(SIZES.d_k, _WIDEST)
        return (d for d in widths if rotary is None or (d % rotary.step == 0 and rotary.width(d) >= 4))

    grouped = (d for d in fitting() if key_heads(adapter.contract.kv_heads, head, d) not in (1, head))
    return Sizes(head, next(grouped, next(fitting())))


@dataclass(frozen=True)
class GenericSizes:
    """Sizes of one call that differ from each other and from those of the module, as far as can be."""

    module: Sizes
    batch: int
    queries: int
    keys: int


def generic_sizes(adapter: Adapter) -> GenericSizes:
    """Return the sizes to call a module of this adapter with; some take as many keys as queries alone."""
    module = first_sizes(adapter)
    free = [n for n in _DISTINCT if n not in (module.head, module.d_k, module.d_model)]
    batch = free[0]
    least = 2 + max(adapter.contract.window or (0,))  # a window shows where a key is outside of it
    longer = (n for n in range(least, _LONGEST) if n not in (batch, module.head, module.d_k, module.d_model))
    if isinstance(adapter, ModuleAdapter) and adapter.window:
        return GenericSizes(module, batch, _WINDOW, _WINDOW)
    queries, keys = [n for n in free[1:] if n >= least][:2] if least <= free[-2] else (next(longer, free[1]), free[2])
    return GenericSizes(module, batch, queries, queries if is_square(adapter) else keys)


def generic_tensors(adapter: Adapter) -> tuple[Tensor, Tensor, Tensor]:
    """Return random query, key and value in float64, tied as the adapter says."""
    sizes = generic_sizes(adapter)
    generator = torch.Generator().manual_seed(1)

    def draw(length: int) -> Tensor:
        return torch.randn(sizes.batch, length, sizes.module.d_model, generator=generator, dtype=torch.float64)

    query = draw(sizes.queries)
    if adapter.inputs == "x":
        return query, query, query
    key = draw(sizes.keys)
    return query, key, key if adapter.inputs == "q,kv" else draw(sizes.keys)


def generic_case(subject: Subject, mask: str = "none", seed: int = 0, dtype: str = "float64") -> Case:
    """Return a case of generic sizes with random numbers; the freest tie that the subject can be called with."""
    sizes = generic_sizes(subject.adapter)
    queries, keys = sizes.queries, sizes.keys
    laid = subject.caller.layout
    # One axis of tokens and two of samples may be two of tokens in another reading: all readings are compared in one case.
    axes = max(laid.most("t"), laid.count("b"))
    if axes > 1:
        queries, keys = _PLACES[axes][0], _PLACES[axes][not is_square(subject.adapter)]
    return Case(
        dtype, _SAMPLES.get(laid.count("t"), sizes.batch), sizes.module.head, queries, keys, sizes.module.d_k,
        data="normal", mask=mask, tie=subject.ties[0], seed=seed,
    )  # fmt: skip


def hiding(shape: tuple[int, int, int], seed: int, contract: Contract) -> Mask:
    """Return a mask [B, Tq, Tk] every row of which hides a key and shows one, and which the contract's form can say.

    Rows of a sample are alike, or samples are, where that is all that the form can say; lengths hide the last keys.
    """
    rng = np.random.Generator(np.random.Philox(key=seed))
    if contract.mask == "lengths":
        mask = np.arange(shape[2]) < rng.integers(1, shape[2], size=(*shape[:2], 1))
    else:
        mask = rng.random(shape) < 0.5
        places = rng.permuted(np.broadcast_to(np.arange(shape[2]), shape), axis=2)
        np.put_along_axis(mask, places[..., :1], True, axis=2)
        np.put_along_axis(mask, places[..., 1:2], False, axis=2)
    if contract.mask_shape in ALIKE_FOR_QUERIES:
        mask = mask[:, :1]
    if contract.mask_shape == "[Tq, Tk]":
        mask = mask[:1]
    return np.broadcast_to(mask, shape).copy()


def is_exact(observed: Array, required: Bounded) -> bool:
    """Whether every element is within the oracle's rounding-error bound."""
    return observed.shape == required.value.shape and bool((np.abs(observed - required.value) <= required.error).all())
