"""torch's own samples of ``scaled_dot_product_attention`` (its OpInfo), each evaluated by torch and given to the oracle."""

from __future__ import annotations

import importlib
import sys
import types
import unittest
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.vectors.compared import Compared, ratio, same, worst
from mhsa.oracle import attention as oracle
from mhsa.oracle.bounded import Arithmetic, Bounded
from mhsa.oracle.formula.formula import Formula
from mhsa.oracle.precision import PRECISIONS

_NAME = "nn.functional.scaled_dot_product_attention"
_MATH: Any = torch.ops.aten._scaled_dot_product_attention_math  # torch's plain evaluation, which also returns the weights


def collect(dtype: str) -> list[tuple[Tensor, Tensor, Tensor, dict[str, Any]]]:
    """Return query, key, value and keyword arguments of each sample in a dtype. The import takes 5 seconds."""
    try:
        importlib.import_module("expecttest")
    except ModuleNotFoundError:
        # torch's internal tests derive a class from one of this package's, which is not a dependency of torch. No sample is
        # made by it.
        stand_in = types.ModuleType("expecttest")
        stand_in.TestCase = unittest.TestCase  # type: ignore[attr-defined]
        sys.modules["expecttest"] = stand_in
    from torch.testing._internal.common_methods_invocations import op_db

    (operator,) = (op for op in op_db if op.name == _NAME)
    samples = operator.sample_inputs("cpu", getattr(torch, dtype), requires_grad=False)
    return [(s.input, *s.args, dict(s.kwargs)) for s in samples]


def compare(name: str, query: Tensor, key: Tensor, value: Tensor, arguments: dict[str, Any]) -> Compared:
    """Judge one sample. What dropout has dropped is seen in the weights of torch's plain evaluation under the same seed."""
    torch.manual_seed(0)
    got = functional.scaled_dot_product_attention(query, key, value, **arguments)
    dtype = str(query.dtype).removeprefix("torch.")
    rate, given = arguments.get("dropout_p", 0.0), arguments.get("attn_mask")
    formula = Formula(causal="top-left" if arguments.get("is_causal") else "no", scale=arguments.get("scale"))
    arithmetic = Arithmetic(PRECISIONS[dtype])
    q, k, v = (Bounded.exact(x.double().numpy()) for x in (query, key, value))
    mask, bias = formula.visible(query.size(-2), key.size(-2)), None
    if given is not None and given.dtype == torch.bool:
        mask = given.numpy() if mask is None else mask & given.numpy()
    elif given is not None:
        bias = given.double().numpy()
    inner = oracle.core(arithmetic, q, k, v, mask, "zeros", bias, formula)
    if not rate:
        return worst(name, dtype, {"output": ratio(got.double().numpy(), inner.output)})
    torch.manual_seed(0)
    again, weights = _MATH(query, key, value, given, rate, arguments.get("is_causal", False))
    kept = Bounded.exact((weights != 0).double().numpy() / (1.0 - rate))
    must = arithmetic.matmul(arithmetic.multiply(inner.weights, kept), v)
    numbers = got.double().numpy()
    parts = {"output": ratio(numbers, must), "what was dropped": same(again.double().numpy(), numbers)}
    return worst(name, dtype, parts)


def judged(dtype: str) -> list[Compared]:
    """Return every sample of a dtype."""
    return [compare(f"sample {n}", *sample) for n, sample in enumerate(collect(dtype))]
