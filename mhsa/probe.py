"""Finding out by calling: only what is interface (which form a mask takes) or has no usual answer (an empty row).

What has a usual answer (which way a mask points, which axis the softmax takes) is never found out this way: that
would take a bug for a convention. The sizes are all different, so that nothing fits by coincidence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from mhsa import check
from mhsa.adapter import Adapter
from mhsa.bounded import Array
from mhsa.calling import Caller
from mhsa.cases import Case, Tie
from mhsa.contract import Contract, EmptyRow, MaskShape
from mhsa.layout import Sizes
from mhsa.subject import Subject
from mhsa.trial import Answer, Trial

SIZES = Sizes(head=4, d_k=5)
BATCH, QUERIES, KEYS = 2, 3, 6
# "The same function or another one?": half the digits of float64, far above rounding, far below any real difference.
_SAME = 2.0**-26


@dataclass(frozen=True)
class Probe:
    """Calls a module of these sizes in float64."""

    adapter: Adapter
    sizes: Sizes
    output_index: int = 0

    def call(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return the output for a call without mask; discovery differentiates it."""
        result = Caller(self.adapter, self.adapter.contract, output_index=self.output_index)(module, query, key, value, None)
        if not isinstance(result[0], Tensor):
            raise TypeError(f"output is a {type(result[0]).__name__}")
        return result[0]

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return random query, key and value, tied as the adapter ties them."""
        generator = torch.Generator().manual_seed(1)

        def draw(length: int) -> Tensor:
            return torch.randn(BATCH, length, self.sizes.d_model, generator=generator, dtype=torch.float64)

        query = draw(QUERIES)
        if self.adapter.inputs == "x":
            return query, query, query
        key = draw(KEYS)
        return query, key, key if self.adapter.inputs == "q,kv" else draw(KEYS)

    def find_output(self, module: nn.Module) -> int:
        """Return the place of the first [B, Tq, d_model] in what the module returns (0 where there is none)."""
        query, key, value = self.tensors()
        more: dict[str, Any] = {"need_weights": True} if self.adapter.weights_on_request else {}
        try:
            result = self.adapter.call(module, query, key, value, None, **more)
        except Exception:  # the properties will meet it again and report it
            return 0
        items = list(result) if isinstance(result, (tuple, list)) else [result]
        fitting = [i for i, x in enumerate(items) if isinstance(x, Tensor) and x.shape == query.shape]
        return fitting[0] if fitting else 0

    def mask_form(self, module: nn.Module) -> tuple[MaskShape, bool]:
        """Return the shape of the masks that the module takes, and whether they must be floating.

        A form is understood if a mask that says the same everywhere, everything allowed or everything blocked, gives
        what no mask gives: so the finding does not depend on which of the two True means. Where none is understood
        the documented form, bool [B, Tq, Tk], is used, and the properties will tell what is wrong with it.
        """
        query, key, value = self.tensors()
        shapes = get_args(MaskShape) if self.adapter.contract.mask_shape is None else (self.adapter.contract.mask_shape,)
        everything = torch.ones(BATCH, query.size(1), key.size(1), dtype=torch.bool)
        try:
            plain = self.call(module, query, key, value)
        except Exception:
            return shapes[0], False
        for floating in (False, True):
            for shape in shapes:
                contract = replace(self.adapter.contract, mask_shape=shape)
                caller = Caller(self.adapter, contract, floating, self.output_index)
                for mask in (everything, ~everything):
                    try:
                        output = caller(module, query, key, value, mask)[0]
                    except Exception:
                        continue
                    if isinstance(output, Tensor) and output.shape == plain.shape and _same(output, plain):
                        return shape, floating
        return shapes[0], False


def _same(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= _SAME * b.abs().max())


def _ask(subject: Subject, sizes: Sizes, mask: str) -> Answer | None:
    tied: Tie = "all" if subject.adapter.inputs == "x" else "none" if subject.adapter.inputs == "qkv" else "kv"
    keys = QUERIES if tied == "all" else KEYS
    case = Case("float64", BATCH, sizes.head, QUERIES, keys, sizes.d_k, data="normal", mask=mask, tie=tied)
    try:
        return Trial(subject, case)()
    except check.Violation:  # the properties will meet it again and report it
        return None


def find_empty_row(subject: Subject, sizes: Sizes) -> EmptyRow | None:
    """Return what a query without any allowed key gets, or None where that is not even finite, or cannot be asked."""
    if subject.contract.empty_row is not None or "empty_row" not in subject.masks:
        return subject.contract.empty_row
    rows: Array = np.empty(0)
    kinds: tuple[EmptyRow, ...] = ("zeros", "uniform")
    for kind in kinds:
        answer = _ask(replace(subject, contract=replace(subject.contract, empty_row=kind)), sizes, "empty_row")
        if answer is None or answer.mask is None:
            return None
        empty = ~answer.mask.any(axis=-1)
        if _inside(answer.output[empty], answer.expected.output.value[empty], answer.expected.output.error[empty]):
            return kind
        rows = answer.output[empty]
    if not np.isfinite(rows).all():
        return None
    return "finite" if rows.any() else "zero-output"


def find_float64(subject: Subject, sizes: Sizes) -> Contract:
    """Say in the contract whether float64 data is computed in float32 inside, as modules with ``.float()`` do."""
    if subject.contract.float64_in is not None:
        return subject.contract
    answer = _ask(subject, sizes, "none")
    single = replace(subject.contract, float64_in="float32")
    coarse = _ask(replace(subject, contract=single), sizes, "none")
    if answer is None or coarse is None:
        return subject.contract
    sharp, loose = answer.expected.output, coarse.expected.output
    if not _inside(answer.output, sharp.value, sharp.error) and _inside(coarse.output, loose.value, loose.error):
        return single
    return replace(subject.contract, float64_in="float64")


def _inside(observed: Array, value: Array, error: Array) -> bool:
    return bool((np.abs(observed - value) <= error).all())
