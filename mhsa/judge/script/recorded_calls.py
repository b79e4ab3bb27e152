"""The calls that a property makes, noted while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mhsa.oracle.bounded import Array
from mhsa.records.case import Case
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.answer import Answer
from mhsa.subject.subject import Subject


@dataclass
class RecordedCall:
    """One call that a property made: what the module was, what it was given, what it answered."""

    case: Case
    state: dict[str, Tensor]
    training: bool
    grad: bool
    tensors: tuple[Tensor, Tensor, Tensor, Tensor | None]
    answer: Answer | None = None
    subject: Subject | None = None  # that was called, with an option that is not as it stands

    @property
    def wrong(self) -> bool:
        """Whether output or weights are further off than rounding explains, where the contract says what they are."""
        if self.answer is None:
            return True
        rows = self.answer.judged
        if _is_off(self.answer.output, self.answer.expected.output, rows):
            return True
        return self.answer.weights is not None and _is_off(self.answer.weights, self.answer.expected.weights, rows[:, None])


def _is_off(seen: Array, must: Any, rows: Any) -> bool:
    return not bool(((np.abs(seen - must.value) <= must.error) | ~rows).all())


class Recorder:
    """Notes the calls of a property while it runs."""

    def __init__(self) -> None:
        self.calls: list[RecordedCall] = []

    def begin(
        self, case: Case, module: nn.Module, tensors: tuple[Tensor, Tensor, Tensor, Tensor | None], *, grad: bool
    ) -> None:
        """Note a call before it is made: it may change what it is given."""
        state = {name: x.detach().clone() for name, x in module.state_dict().items()}
        copies: list[Any] = [None if x is None else _copy(x) for x in tensors]
        for n in (1, 2):  # tied ones stay tied
            for earlier in range(n):
                if tensors[n] is tensors[earlier]:
                    copies[n] = copies[earlier]
        self.calls.append(RecordedCall(case, state, module.training, grad, (copies[0], copies[1], copies[2], copies[3])))


def called_function(call: RecordedCall) -> Any:
    """Return the function that a call was made of; None for a module."""
    return call.subject.adapter.function if call.subject and isinstance(call.subject.adapter, FunctionAdapter) else None


def _copy(x: Tensor) -> Tensor:
    """A tensor laid out in memory as the given one."""
    whole = (
        torch.empty_strided(x.shape, x.stride(), dtype=x.dtype) if 0 not in x.stride() else torch.empty(x.shape, dtype=x.dtype)
    )
    return whole.copy_(x.detach())
