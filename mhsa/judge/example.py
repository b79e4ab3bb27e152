"""One case with tensors, for the user's own tests: what to call with, and what must come out."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mhsa.oracle.attention import Linear, MultiHead, ProjectionWeights, multi_head
from mhsa.oracle.precision import PRECISIONS
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.memory_layout import is_tensor, numbers, plain, tied, to_tensor


class Example:
    """What ``@mhsa.cases`` gives to a test.

    Attributes:
        case: the choices that everything follows from.
        query: [B, Tq, d_model].
        key, value: [B, Tk, d_model].
        mask: bool [B, Tq, Tk], True where the query may attend; None for no mask.
        head: number of heads.
        d_model: width.
        parameters: weight [d_model, d_model] and bias [d_model] of each map: ``query.weight``, ``query.bias``, and so on for
            ``key``, ``value`` and ``out``.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.head, self.d_model = case.head, case.d_model
        dtype: torch.dtype = getattr(torch, case.dtype)
        self.query, self.key, self.value = tied(lambda x: to_tensor(x, dtype, "cpu", case.layout), *case.inputs())
        allowed = case.allowed()
        self.mask = None if allowed is None else torch.from_numpy(allowed)
        names = [f"{role}.{kind}" for role in ("query", "key", "value", "out") for kind in ("weight", "bias")]
        width = case.d_model
        drawn = case.parameters([(width, width), (width,)] * 4)
        self.parameters: dict[str, Tensor] = {name: torch.tensor(x, dtype=dtype) for name, x in zip(names, drawn, strict=True)}

    def __repr__(self) -> str:
        return f"<case {self.case}>"

    def load_into(self, query: Any, key: Any, value: Any, out: Any) -> None:
        """Copy the parameters into four ``nn.Linear``; one without a bias stays without, and then must come out so."""
        with torch.no_grad():
            for role, linear in (("query", query), ("key", key), ("value", value), ("out", out)):
                linear.weight.copy_(self.parameters[f"{role}.weight"])
                if linear.bias is None:
                    self.parameters[f"{role}.bias"] = torch.zeros_like(self.parameters[f"{role}.bias"])
                else:
                    linear.bias.copy_(self.parameters[f"{role}.bias"])
        self.__dict__.pop("expected", None)

    @functools.cached_property
    def expected(self) -> MultiHead:
        """What a right module gives, in float64, with a bound for every element; rows without any key get zero weights."""
        maps = [
            Linear(numbers(self.parameters[f"{role}.weight"]), numbers(self.parameters[f"{role}.bias"]))
            for role in ("query", "key", "value", "out")
        ]
        tokens = (numbers(self.query), numbers(self.key), numbers(self.value))
        allowed = None if self.mask is None else np.asarray(self.mask.numpy())
        return multi_head(*tokens, ProjectionWeights(*maps), self.head, allowed, PRECISIONS[self.case.dtype], "zeros", None)

    def check(self, output: Tensor, weights: Tensor | None = None) -> None:
        """Raise AssertionError unless output [B, Tq, d_model], and weights [B, head, Tq, Tk] if given, are within their bounds.

        Rows without any allowed key are judged as zeros.
        """
        for name, seen, required in (("output", output, self.expected.output), ("weights", weights, self.expected.weights)):
            if seen is None and name == "weights":
                continue
            shape = list(required.value.shape)
            if not is_tensor(seen) or list(seen.shape) != shape:
                got = list(seen.shape) if is_tensor(seen) else f"a {type(seen).__name__}"
                raise AssertionError(f"{name} is {got}, but must be a tensor {shape}; {self.case}")
            try:
                check.within(name, numbers(plain(seen)), required)
            except check.Violation as violation:
                raise AssertionError(f"{violation}; {self.case}") from None
