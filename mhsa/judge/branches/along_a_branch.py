"""One more call of a trial's module, along a branch that may not be there for these tensors or this machine."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from mhsa.oracle.bounded import Bounded
from mhsa.oracle.precision import PRECISIONS
from mhsa.subject import check
from mhsa.subject.answer import Answer
from mhsa.subject.autograd import of_call
from mhsa.subject.guard import attempt
from mhsa.subject.memory_layout import numbers
from mhsa.subject.trial import Trial

_FORMATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)  # ever coarser


class _Coarsest(TorchFunctionMode):
    """Notes the coarsest format that any torch function takes or gives."""

    def __init__(self) -> None:
        super().__init__()
        self.dtype = torch.float64

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        met = [x.dtype for x in tree_leaves((args, kwargs, result)) if isinstance(x, Tensor) and x.dtype in _FORMATS]
        self.dtype = max([self.dtype, *met], key=_FORMATS.index)
        return result


def judge_output(trial: Trial, answer: Answer, where: str) -> bool:
    """Repeat the last call, whose answer is known; fail unless the output is right. False where the branch is not taken.

    A branch that raises, or gives something else than one output, is not for these tensors or not for this machine. One that
    computes in a coarser format, as kernels do, is judged by that one's roundoff.
    """
    output = _output(trial)
    if output is None:
        return False
    observed, expected = numbers(output), answer.expected.output
    with np.errstate(invalid="ignore"):
        off = ~(np.abs(observed - expected.value) <= expected.error) & answer.judged
    if off.any():
        watch = _Coarsest()
        with watch:
            _output(trial)
        if _FORMATS.index(watch.dtype) > _FORMATS.index(trial.dtype):
            rough = copy.copy(trial)
            precision = PRECISIONS[str(watch.dtype).removeprefix("torch.")]
            rough.precision = replace(precision, accumulation=precision.unit)
            given = trial.query, trial.key, trial.value, trial.projections
            expected = rough.predict(*given, answer.mask, trial.bias).output
    check.within(f"output {where}", observed, expected, answer.judged)
    return True


def _output(trial: Trial) -> Tensor | None:
    with torch.set_grad_enabled(trial.case.grad):
        made, _ = attempt(lambda: trial.call_unchecked(*trial.last_tensors))
    output = made[0][0] if made is not None else None
    output = next((x for x in output if isinstance(x, Tensor)), None) if isinstance(output, tuple) else output
    return output if isinstance(output, Tensor) and output.shape == trial.case.output_shape else None


def judge_gradients(trial: Trial, expected: Mapping[str, Bounded], start: Tensor, where: str) -> None:
    """Fail unless a call with the tensors of the last one has these gradients; what raises, or is coarser, is left alone."""
    q, k, v, mask = trial.last_tensors
    given = {id(t): t.detach().requires_grad_() for t in (q, k, v)}
    own = [p for p in trial.module.parameters() if p.requires_grad]

    def gradients() -> Mapping[str, Any]:
        with torch.enable_grad():
            output = trial.call_unchecked(given[id(q)], given[id(k)], given[id(v)], mask)[0]
        return of_call((output, start), (q, k, v), given, own, trial.views)

    watch = _Coarsest()
    with watch:
        made, _ = attempt(gradients)
    if made is None or _FORMATS.index(watch.dtype) > _FORMATS.index(trial.dtype):
        return
    for name, gradient in made[0].items():
        if name in expected and name not in trial.views.fixed:
            check.within(f"gradient of {name} {where}", gradient, expected[name])
