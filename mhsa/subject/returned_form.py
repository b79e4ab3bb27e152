"""Whether what a call returned has the form that it must have; its numbers are compared elsewhere."""

from __future__ import annotations

from typing import Any

import torch

from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.memory_layout import is_tensor
from mhsa.subject.subject import Subject


def require_form(subject: Subject, case: Case, output: Any, weights: Any, batch: int, queries: int, keys: int) -> None:
    """Fail unless output is a tensor [B, Tq, d_model] of the case's dtype, and weights, if any, [B, head, Tq, Tk]."""
    shape = [batch, queries, case.d_model]
    if not is_tensor(output):
        check.fail(f"output is a {type(output).__name__}, but must be a tensor {shape}", what="output")
    if output.device.type != torch.device(subject.device).type:
        check.fail(f"output is on {output.device}, but must be on {subject.device}", what="output")
    if list(output.shape) != shape:
        check.fail(
            f"output has shape {list(output.shape)}, but must be {shape}",
            what="output", observed=list(output.shape), required=shape,
        )  # fmt: skip
    if subject.caller.weights_from is not None and case.need_weights:
        expected = [batch, case.head, queries, keys]
        if batch == 0 and len(subject.caller.weights_form) == 3:  # heads and no samples in one axis, which nothing can divide
            expected = [0, queries, keys]
        got = _shape_of(weights)
        if got != expected:
            check.fail(f"weights are {got}, but must be a tensor {expected}", what="weights")


def require_lse_form(lse: Any, shape: list[int]) -> None:
    """Fail unless the log-sum-exp is a tensor of this shape."""
    got = _shape_of(lse)
    if got != shape:
        check.fail(f"log-sum-exp is {got}, but must be a tensor {shape}", what="log-sum-exp", observed=got, required=shape)


def _shape_of(x: Any) -> list[int] | str:
    return list(x.shape) if is_tensor(x) else f"a {type(x).__name__}"
