"""Follows a layer's tensors through one call: which are sums of which inputs, norms, attentions and feed-forwards.

Each operation of torch on tensors is seen, in whatever function or part it stands. Attentions and norms are single steps,
whatever they do inside; additions, norms and changes of axes are followed, and all else makes something new of its tensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mhsa.introspect.layers.same import same
from mhsa.introspect.layers.stream import UNCLEAR, Known, Made, State, Unclear, as_sum, made_of
from mhsa.records.conventions.layer import ATTENTIONS, INPUTS, Sum, Term, bare, function

_ADD = re.compile(r"^_*(?:i|r)?add_*$")
_SCALE = re.compile(r"^_*(?:i|r)?(?:true)?_?(?:mul|div|multiply|divide|truediv)_*$")
_GATE = re.compile(r"^_*(?:i|r)?mul_*$|^multiply_?$")
_MAPS = re.compile(r"^(?:linear|conv\d?d?|matmul|__r?matmul__|mm|bmm|addmm|einsum|bilinear|tensordot)$")
_NORMS = re.compile(r"^(?:layer|rms|group|batch|instance)_norm$|^normalize$")
_TURNS = re.compile(
    r"^(?:view|reshape|transpose|swapaxes|swapdims|permute|movedim|moveaxis|flatten|unflatten|(?:un)?squeeze|view_as|reshape_as|"
    r"t|__get__|expand|expand_as)$"
)
_INTERCHANGES = re.compile(r"^(?:transpose|swapaxes|swapdims|permute|movedim|moveaxis)$")
_KEEPS = re.compile(r"^(?:contiguous|clone|to|type|type_as|float|double|detach|(?:alpha_|feature_)?dropout\d?d?_?|positive)$")


class Follow(TorchFunctionMode):
    """What is known of the tensors of one call of a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = 0  # of attentions and norms that are in progress
        self.layer: Sum | None = None
        self.inputs: list[tuple[Tensor, Known]] = []
        self._states: dict[int, State] = {}
        self._kept: list[Tensor] = []  # an object that is gone leaves its number to another one
        self._values: dict[int, tuple[Tensor, Tensor]] = {}  # of each call: its numbers when it was made, and their places
        self._count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """Call a function, and note what it gives."""
        name = getattr(func, "__name__", "")
        followed = not self.inside and bool(self._states)
        given = list(tensors_in((*args, *(kwargs or {}).values()))) if followed and _ADD.search(name) else []
        if any(isinstance(self.of(x), Known) for x in given):
            for x in given:
                self.known(x)  # it may be changed in place
        gave = func(*args, **(kwargs or {}))
        if followed:
            self._note(name, func, args, kwargs or {}, gave)
        return gave

    def of(self, x: Any) -> State | None:
        """Return what is known of a tensor; None of what has nothing to do with the inputs."""
        return self._states.get(id(x)) if isinstance(x, Tensor) else None

    def known(self, x: Any) -> Known | None:
        """Return a tensor as a sum; None where it is none, or has nothing to do with the inputs."""
        state = self.of(x)
        found = None if state is None else as_sum(state, x, self.number())
        if found is not None and found is not state:
            self.set(x, found)
        return found

    def set(self, x: Tensor, state: State) -> None:
        """Note what a tensor is, and its numbers, where they are those of a new term."""
        self._states[id(x)] = state
        self._kept.append(x)
        if isinstance(state, Known) and len(state.parts) == 1:
            self._values.setdefault(state.parts[0][1], (x.detach().clone(), state.places))

    def number(self) -> int:
        """Return the number of one more call."""
        self._count += 1
        return self._count

    def step(self, name: str, *given: Known) -> Known:
        """Return what a function of sums gives, in the places of the first."""
        return Known(((function(name, *(each.sum for each in given)).terms[0], self.number()),), given[0].places)

    def _note(self, name: str, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], gave: Any) -> None:
        given = list(tensors_in((*args, *kwargs.values())))
        states = [(x, state) for x in given if (state := self.of(x)) is not None]
        outputs = list(tensors_in((gave,)))
        if not states or not outputs:
            return
        state = self._made(name, func, args, kwargs, given, states)
        if isinstance(state, Made) and _INTERCHANGES.search(name) and state is self.of(args[0] if args else None):
            state = state.turned(lambda places: func(places, *args[1:], **kwargs), args[0].dim(), outputs[0])
        for x in outputs:
            self.set(x, state if len(outputs) == 1 or not isinstance(state, Known) else UNCLEAR)

    def _made(
        self, name: str, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], given: Sequence[Tensor],
        states: Sequence[tuple[Tensor, State]],
    ) -> State:  # fmt: skip
        """Return what a function makes of its tensors."""
        first = self.of(args[0]) if args else None
        if first is not None and _KEEPS.search(name):
            return first
        if first is not None and _TURNS.search(name):
            turned = first.turned(lambda places: func(places, *args[1:], **kwargs)) if isinstance(first, Known) else first
            return turned or UNCLEAR
        if (
            name == "__getitem__"
            and isinstance(first, Known)
            and (turned := first.turned(lambda places: func(places, *args[1:])))
        ):
            return turned  # x[:, None], say
        if _NORMS.search(name) and (known := self.known(states[0][0])) is not None:
            return self.step("norm", known)
        whole = "alpha" not in kwargs
        if whole and _ADD.search(name) and len(given) == 2 and any(isinstance(state, Known) for _, state in states):
            return self._sum(given)
        if _GATE.search(name) and (step := self._gated(given, states)) is not None:
            again = step.parts[0][0].name == "scale"
            return replace(step, parts=((step.parts[0][0], self.number()),)) if again else self.step("scale", step)
        of = made_of(state for _, state in states)
        if isinstance(of, Unclear):
            return of
        if _MAPS.search(name):
            own = any(self.of(x) is None for x in given)  # a matrix that is none of the inputs
            return of.also(mapped=own, bent=not own)
        if _SCALE.search(name):
            scaled = any(isinstance(state, Known) for _, state in states)
            return of.also(scaled=scaled, bent=len(states) > 1)
        return of.also(bent=not (_ADD.search(name) and len(states) == 1))

    def _gated(self, given: Sequence[Tensor], states: Sequence[tuple[Tensor, State]]) -> Known | None:
        """Return what an attention gave, or a norm of that, where a tensor of one number or one for each feature scales it."""
        gates = [x for x in given if self.of(x) is None]
        if len(states) != 1 or len(given) != 2 or len(gates) != 1:
            return None
        (x, state), gate = states[0], gates[0]
        if not isinstance(state, Known) and not (isinstance(state, Made) and state.mapped and not state.bent):
            return None
        known = self.known(x)
        alone = known is not None and len(known.parts) == 1 and bare(known.parts[0][0]).name in ATTENTIONS
        one_of_features = gate.numel() == x.size(-1) == gate.size(-1) if gate.dim() else False
        return known if alone and gate.is_floating_point() and (gate.numel() == 1 or one_of_features) else None

    def _sum(self, given: Sequence[Tensor]) -> State:
        if any(self.of(x) is None for x in given):
            return UNCLEAR  # a learned position, say
        first, second = map(self.known, given)
        return UNCLEAR if first is None or second is None else first.plus(second) or UNCLEAR

    def begin(self, given: Sequence[Any]) -> None:
        """Note the inputs of the layer: tensors with the same numbers are one of them. The first may be one query, [B, D]."""
        for n, x in enumerate(given):
            if not x.is_floating_point() or x.dim() < 2 + (n > 0) or self.of(x) is not None:
                continue
            known = next((known for y, known in self.inputs if same(x, y)), None)
            if known is None and len(self.inputs) < len(INPUTS):
                places = torch.arange(x.numel()).reshape(x.shape)
                known = Known(((Term(INPUTS[len(self.inputs)]), self.number()),), places)
                self.inputs.append((x.clone(), known))
            if known is not None:
                self.set(x, known)

    def end(self, gave: Sequence[Tensor]) -> None:
        """Note what the layer computes."""
        shape = self.inputs[0][0].shape if self.inputs else None
        final = next((x for x in gave if x.shape == shape), None)
        made = self.known(final)
        if final is not None and made is not None and torch.equal(made.places.flatten(), torch.arange(final.numel())):
            self.layer = made.sum if self._is(final, made) else None

    def _is(self, final: Tensor, made: Known) -> bool:
        """Whether a tensor is the sum of what its terms were: one of these may have been changed in place since."""
        total = torch.zeros_like(final).flatten()
        for _, number in made.parts:
            value, places = self._values[number]
            total[places.flatten()] += value.flatten()
        return same(total.reshape(final.shape), final)


def tensors_in(given: Iterable[Any]) -> Iterator[Tensor]:
    """Yield tensors, those of lists, tuples and dictionaries as well."""
    for x in given:
        if isinstance(x, Tensor):
            yield x
        elif isinstance(x, (list, tuple)):
            yield from tensors_in(x)
        elif isinstance(x, Mapping):
            yield from tensors_in(x.values())
