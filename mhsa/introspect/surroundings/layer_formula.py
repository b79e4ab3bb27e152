"""What a layer makes of its inputs and of what its attention gives, as a formula, from the numbers of one watched call."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from torch import Tensor

from mhsa.introspect.projections.role_names import QKV, named_roles
from mhsa.introspect.projections.search.layers import is_linear
from mhsa.introspect.surroundings.gates import ACTIVATION_FUNCTIONS
from mhsa.introspect.surroundings.in_front import is_norm
from mhsa.introspect.surroundings.same import same
from mhsa.introspect.surroundings.watched_call import PartCall
from mhsa.records.conventions.layer import INPUTS, Sum, Term, function, sum_of

MOST_TERMS = 3  # of a sum: a residual, what the attention gives, and a feed-forward


class _Known:
    """Tensors of one call, and what they are."""

    def __init__(self) -> None:
        self.tensors: list[tuple[Sum, Tensor]] = []

    def copy(self) -> _Known:
        """Return another one that knows the same."""
        other = _Known()
        other.tensors = list(self.tensors)
        return other

    def add(self, what: Sum, tensor: Tensor) -> None:
        """Note a tensor, unless it is known."""
        if not any(same(tensor, x) for _, x in self.tensors):
            self.tensors.append((what, tensor))

    def what(self, tensor: Tensor) -> Sum | None:
        """Return what a tensor is: one of those that are known, or a sum of some; None if it is none."""
        fitting = [(what, x) for what, x in self.tensors if x.shape == tensor.shape]
        for count in range(1, MOST_TERMS + 1):
            for chosen in itertools.combinations_with_replacement(fitting, count):
                total = chosen[0][1]
                for _, x in chosen[1:]:
                    total = total + x
                if same(tensor, total):
                    return sum_of(*(term for what, _ in chosen for term in what.terms))
        return None


def layer_formula(
    calls: Sequence[PartCall], at: int, attention: PartCall, whole: PartCall, before: Sequence[PartCall]
) -> Sum | None:  # fmt: skip
    """Return the formula of a layer; None where it is another one than sums, norms, the attention and a feed-forward.

    Args:
        calls: of the layer's parts, in the shape of its output.
        at: the place of the attention's among them.
        attention: that call.
        whole: the layer's own.
        before: calls of what is in front of the attention.
    """
    inner, final = attention.output, whole.output
    if inner is None or final is None or not whole.given or whole.given[0].shape != final.shape:
        return None
    known = _Known()
    inputs: list[Tensor] = []
    for x in whole.given:
        if x.is_floating_point() and not any(same(x, y) for y in inputs):
            inputs.append(x)
    for name, x in zip(INPUTS, inputs, strict=False):
        known.add(Sum((Term(name),)), x)
    for call in before:
        if (made := known.what(call.given[0])) is not None and call.output is not None:
            known.add(function("norm" if is_norm(call.part) else "map", made), call.output)
    query = next((what for x in _queries(calls[:at], attention) if (what := known.what(x)) is not None), None)
    if query is None:
        return None
    known.add(function("attention", query), inner)
    after = [c for c in calls[at + 1 :] if c.path and c.given and not c.path.startswith(f"{attention.path}.")]
    for behind in (0, _out_projection(after, inner)):
        if behind:  # it is a part of the attention
            known.tensors[-1] = known.tensors[-1][0], after[behind - 1].gave[0]
        tried = known.copy()
        made = _what_with(tried, final, _follow(tried, after[behind:]))
        if made is not None and any(each.holds("attention") for each in made.within()):
            return made
    return None


def _out_projection(after: Sequence[PartCall], inner: Tensor) -> int:
    """Return the place behind the first linear layer after the attention, where that maps what the attention gives; else 0."""
    first = next((n for n, c in enumerate(after) if is_linear(c.part)), None)
    if first is None or not same(after[first].given[0], inner) or not isinstance(after[first].gave[0], Tensor):
        return 0
    return first + 1 if after[first].gave[0].shape == inner.shape else 0


def _queries(calls: Sequence[PartCall], attention: PartCall) -> Iterator[Tensor]:
    """Yield what may be the queries that the attention maps: what its own call is given, and what maps in front of it are."""
    maps = [c for c in calls if c.given and is_linear(c.part)]
    roles = [(c, named_roles(f"{c.path}.weight")) for c in maps]
    yield from (c.given[0] for c, named in roles if "query" in named)
    yield from (c.given[0] for c, named in roles if named == QKV)
    yield from attention.given[:1]
    yield from (c.given[0] for c in reversed(maps))


def _follow(known: _Known, calls: Sequence[PartCall]) -> Tensor | None:
    """Note norms and a feed-forward after the attention; return what the last map of that gave."""
    argument: Sum | None = None
    fed: Tensor | None = None
    for call in calls:
        gave = call.output
        if gave is None:
            continue
        if is_norm(call.part):
            made = _what_with(known, call.given[0], fed)
            if made is not None:
                known.add(made, call.given[0])
                known.add(function("norm", made), gave)
        elif is_linear(call.part):
            made = known.what(call.given[0])
            if made is not None and argument is not None and made != argument:
                return None  # more than one feed-forward
            argument = made or argument
            if argument is None:
                return None
            if made is not None:
                known.add(made, call.given[0])
            fed = gave
            known.tensors = [(what, x) for what, x in known.tensors if what.terms[0].name != "feed_forward"]
            known.add(function("feed_forward", argument), gave)
    return fed


def _what_with(known: _Known, tensor: Tensor, fed: Tensor | None) -> Sum | None:
    """Return what a tensor is, where an activation may follow on the last map of a feed-forward."""
    made = known.what(tensor)
    if made is not None or fed is None:
        return made
    argument = next((what for what, x in known.tensors if x is fed), None)
    if argument is None:
        return None
    for activate in ACTIVATION_FUNCTIONS.values():
        other = _Known()
        other.tensors = [(what, activate(x) if x is fed else x) for what, x in known.tensors]
        if (made := other.what(tensor)) is not None:
            return made
    return None
