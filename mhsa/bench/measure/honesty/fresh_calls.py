"""The timed call with other numbers each time, whose answers are all known.

Attention of tokens in another order is the answer in that order, whatever is computed inside, and an out projection that is
multiplied by a power of two multiplies it exactly. So one answer of the oracle is the answer of any number of inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mhsa.bench.measure.clock import Call, ChangingCall
from mhsa.bench.measure.correctness import longest
from mhsa.bench.measure.expected import Inputs, Oracle, rows_of
from mhsa.bench.measure.honesty.plain_result import hidden_form
from mhsa.bench.measure.honesty.refused import TimeRefused
from mhsa.bench.measure.honesty.rescaled_output import RescaledOutput
from mhsa.bench.measure.implementation import Built, training_call
from mhsa.bench.measure.measurement import Pass
from mhsa.oracle.bounded import Bounded
from mhsa.subject import check
from mhsa.subject.check import Violation
from mhsa.subject.memory_layout import numbers

_ROOM = 2**26  # bytes of inputs: in the milliseconds of a block, no call can read more
_RENEWED = 8  # blocks with the same parameters
_LOOKED_AT = 6  # results that are compared in any case; later ones more and more rarely


@dataclass
class _Slot:
    """Memory of one input, the call that reads it, and in which order it holds samples and tokens."""

    x: Tensor
    start: Tensor | None
    call: Call
    samples: NDArray[np.int_]
    tokens: NDArray[np.int_]
    query: Tensor | None = None  # a copy of the first tokens, where only they are queries


class FreshCalls(ChangingCall):
    """A contender's calls in one pass. Inputs are written anew before each block, and parameters every few blocks.

    Args:
        built: the contender; its parameters are changed in place until :meth:`put_back`.
        passes: what is timed.
        known: answers of the oracle; None compares no results, as where that was done in another process.
    """

    def __init__(self, built: Built, passes: Pass, known: Oracle | None) -> None:
        self.built, self.passes = built, passes
        trial, shape = built.trial, built.shape
        self._inputs = Inputs(trial, trial.query, rows_of(shape))
        self._known = known if shape.length <= longest(trial) else None
        start = np.zeros((shape.batch, shape.length, shape.d_model))
        if passes == "training":
            start[:, self._inputs.rows] = self._inputs.start
        self._x, self._start = trial.tensor(trial.query), trial.tensor(start)
        self._output = RescaledOutput(built)
        self._random = np.random.default_rng()  # of its own, and other numbers each time: a subject cannot know them
        self._slots: list[_Slot] = []
        self._kept: _Slot | None = None
        self._wrap: Callable[[Call], Call] = lambda call: call
        self.blocks = self.looks = 0

    def wrapped(self, wrap: Callable[[Call], Call]) -> FreshCalls:
        """Put something around each call of a block."""
        self._wrap = wrap
        return self

    def __call__(self) -> Any:
        """Make the call with the inputs of the last time."""
        return self.fresh(1)[0].call() if not self._slots else self._slots[0].call()

    def turns(self, count: int) -> tuple[Sequence[Call], int]:
        """Return the calls of a block, and which of them gives the result that is kept."""
        if self.blocks % _RENEWED == 0:
            self._output.renew()
            # What a module derives from its parameters, as joined ones, is derived in this call: in use they seldom change.
            slot = self.fresh(1)[0]
            self.look(slot, slot.call())
        self.blocks += 1
        torch.default_generator.manual_seed(int(self._random.integers(2**31)))
        slots = self.fresh(count)
        kept = int(self._random.integers(count))
        self._kept = slots[kept % len(slots)]
        calls = [self._wrap(slot.call) for slot in slots]
        return (calls * (count // len(calls) + 1))[:count], kept

    def ended(self, kept: Any) -> None:
        """Compare the kept result with its answer, and what the call was given with what it was then."""
        slot, self._kept = self._kept, None
        assert slot is not None
        if self.blocks <= _LOOKED_AT or self._random.random() < _LOOKED_AT / self.blocks:
            self.look(slot, kept)
        elif words := hidden_form(kept, self.built.trial.subject.device):
            raise TimeRefused("suspect", words)

    def fresh(self, count: int) -> list[_Slot]:
        """Write new inputs, and return them: one for each call, as far as there is room."""
        each = self._x.numel() * self._x.element_size() * (2 if self.passes == "training" else 1)
        wanted = max(1, min(count, max(2, _ROOM // max(each, 1))))
        while len(self._slots) < wanted:
            self._slots.append(self._new())
        for slot in self._slots[:wanted]:
            self._write(slot)
        return self._slots[:wanted]

    def look(self, slot: _Slot, result: Any) -> None:
        """Raise TimeRefused unless a call has given what it must, and left its input as it was."""
        self.looks += 1
        if words := hidden_form(result, self.built.trial.subject.device):
            raise TimeRefused("suspect", words)
        same = slot.query is None or torch.equal(slot.query, slot.x[:, : slot.query.size(1)])
        if not (same and torch.equal(slot.x.detach(), self._ordered(self._x, slot))):
            raise TimeRefused("suspect", "a call writes into its input, so the next one is given something else")
        if self._known is None:
            return
        try:
            with check.recording():
                self._compare(slot, result, self._known)
        except Violation as violation:
            raise TimeRefused("wrong", f"{violation}, in a call that was timed") from None

    def put_back(self) -> None:
        """Give the contender the parameters back that it had."""
        self._output.put_back()

    def _new(self) -> _Slot:
        x = torch.empty_like(self._x).requires_grad_(self.passes == "training")
        order = np.arange(self._x.shape[0]), np.arange(self._x.shape[1])
        with torch.no_grad():
            x.copy_(self._x)
        if self.passes == "forward":
            query = x[:, : self.built.shape.queries].clone() if self.built.shape.queries else None
            return _Slot(x, None, self.built.bind(x, query), *order, query)
        start = self._start.clone()
        return _Slot(x, start, training_call(self.built, x, start), *order)

    def _write(self, slot: _Slot) -> None:
        batch, length = self._x.shape[:2]
        slot.samples, slot.tokens = self._random.permutation(batch), self._random.permutation(length)
        if slot.query is not None:  # in front are tokens whose answers are known
            known = self._random.permutation(self._inputs.rows)[: slot.query.size(1)]
            slot.tokens = np.concatenate([known, slot.tokens[~np.isin(slot.tokens, known)]])
        with torch.no_grad():
            slot.x.copy_(self._ordered(self._x, slot))
            if slot.query is not None:
                slot.query.copy_(slot.x[:, : slot.query.size(1)])
            if slot.start is not None:
                slot.start.copy_(self._ordered(self._start, slot))

    def _ordered(self, x: Tensor, slot: _Slot) -> Tensor:
        samples, tokens = (torch.from_numpy(order).to(x.device) for order in (slot.samples, slot.tokens))
        return x.index_select(0, samples).index_select(1, tokens)

    def _compare(self, slot: _Slot, result: Any, known: Oracle) -> None:
        factor, inputs = self._output.factor, self._inputs
        back = np.argsort(slot.tokens)
        if self.passes == "forward":
            shape = (*self._x.shape[:1], self.built.queries(self._x.shape[1]), *self._x.shape[2:])
            if result.shape != shape or result.dtype != self._x.dtype:
                check.fail(f"output is {result.dtype} {list(result.shape)}", what="output")
            answer = known.forward(inputs).output
            places = back[inputs.rows]
            if slot.query is not None:
                answer = Bounded(*(part[:, places < slot.query.size(1)] for part in (answer.value, answer.error)))
                places = places[places < slot.query.size(1)]
            observed = numbers(result.index_select(1, torch.from_numpy(places).to(result.device)))
            check.within("output", observed, _times(answer, factor, slot.samples))
            return
        of_x, of_maps = known.backward(inputs)
        leaf = result[0] if result[0] is not None else torch.zeros_like(self._x)
        check.within("gradient of x", numbers(leaf)[:, back], _times(of_x, factor, slot.samples))
        of_tensors = {p: g for p, g in zip(self.built.leaves, result[1:], strict=True) if g is not None}
        for name, view in self.built.trial.views.views():
            observed = numbers(view.gradient(of_tensors)[0])
            check.within(f"gradient of {name}", observed, _times(of_maps[name], self._output.of_gradient(name)))


def _times(answer: Bounded, factor: float, samples: NDArray[np.int_] | None = None) -> Bounded:
    """Return an answer times a power of two or its negative, of samples in an order."""
    value, error = (answer.value, answer.error) if samples is None else (answer.value[samples], answer.error[samples])
    return Bounded(value * factor, error * abs(factor))
