"""What a tensor of a layer is known to be: a sum of terms, something that is made of such sums, or nothing that can be said."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mhsa.records.conventions.layer import ATTENTIONS, Sum, Term, function, sum_of


@dataclass(frozen=True, eq=False)
class Known:
    """A tensor that is a sum.

    Attributes:
        parts: its terms, each with the number of the call that made it: two parts may give the same term of other numbers.
        places: the place of each of its numbers in the layer's input, in the shape of the tensor: it may be turned.
    """

    parts: tuple[tuple[Term, int], ...]
    places: Tensor

    @property
    def sum(self) -> Sum:
        """The formula."""
        return sum_of(*(term for term, _ in self.parts))

    def turned(self, change: Callable[[Tensor], Any]) -> Known | None:
        """Return what a change of the axes makes of it; None where that leaves out or repeats numbers."""
        try:
            places = change(self.places)
        except Exception:  # a change of floating numbers alone: a view of their bits, say
            return None
        kept = isinstance(places, Tensor) and places.numel() == self.places.numel()
        return replace(self, places=places) if kept else None

    def plus(self, other: Known) -> Known | None:
        """Return the sum of both; None where other numbers than those of one place are added, or terms of one name."""
        if self.places.shape != other.places.shape or not torch.equal(self.places, other.places):
            return None
        mine = dict(self.parts)
        if any(term in mine and mine[term] != made for term, made in other.parts):
            return None
        return replace(self, parts=(*self.parts, *other.parts))


@dataclass(frozen=True, eq=False)
class Made:
    """A tensor that is made of sums by anything else than additions and norms.

    Attributes:
        of: the sums.
        mapped: whether a linear map, with parameters, is among what was done.
        bent: whether anything else was done, too.
        scaled: whether one of the sums itself was multiplied by something: it may be behind a gate.
    """

    of: tuple[Known, ...]
    mapped: bool = False
    bent: bool = False
    scaled: bool = False

    def turned(self, change: Callable[[Tensor], Any], axes: int, turned: Tensor) -> Made:
        """Return what an interchange of axes makes of it: its sums lie so, too, where maps have changed their features alone.

        Args:
            change: of a tensor.
            axes: of the tensor.
            turned: the tensor, afterwards.
        """
        lie = [known.turned(change) if known.places.dim() == axes else None for known in self.of]
        fits = [k is not None and sum(a != b for a, b in zip(k.places.shape, turned.shape, strict=True)) < 2 for k in lie]
        return replace(self, of=tuple(k for k in lie if k is not None)) if all(fits) else self

    def also(self, *, mapped: bool = False, bent: bool = False, scaled: bool = False) -> Made:
        """Return the same after something more was done."""
        return Made(self.of, self.mapped or mapped, self.bent or bent, self.scaled or scaled)


class Unclear:
    """A tensor of which nothing can be said, though it is made of the layer's input."""


UNCLEAR = Unclear()
State = Known | Made | Unclear


def made_of(states: Iterable[State]) -> Made | Unclear:
    """Return what is made of several tensors together."""
    sums: dict[Sum, Known] = {}
    mapped = bent = scaled = False
    for state in states:
        if isinstance(state, Unclear):
            return UNCLEAR
        for known in (state,) if isinstance(state, Known) else state.of:
            sums.setdefault(known.sum, known)
        if isinstance(state, Made):
            mapped, bent, scaled = mapped or state.mapped, bent or state.bent, scaled or state.scaled
    return Made(tuple(sums.values()), mapped, bent, scaled)


def as_sum(state: State, tensor: Tensor, made: int) -> Known | None:
    """Return a tensor as a sum: what a map makes of one sum is one term, in the places of that sum. None where it is not clear.

    Args:
        state: what is known of it.
        tensor: itself.
        made: the number of the call that made it.
    """
    if isinstance(state, Known):
        return state
    if isinstance(state, Unclear) or len(state.of) != 1 or not state.mapped or state.scaled:
        return None
    (source,) = state.of
    if tensor.shape != source.places.shape:
        return None
    given = source.sum
    (first, *more) = given.terms
    if first.name == "scale" and not more:  # a gate within something else
        return None
    if not more and first.name in ATTENTIONS and not state.bent:  # an out projection of its own
        return replace(source, parts=((first, made),))
    if not more and first.name == "feed_forward" and first.argument is not None:
        given = first.argument
    elif not more and first.name == "norm" and first.argument is not None and len(first.argument.terms) == 1:
        (inner,) = first.argument.terms  # a norm within a feed-forward
        given = inner.argument if inner.name == "feed_forward" and inner.argument is not None else given
    fed = state.bent or any(map(given.holds, ATTENTIONS)) or first.name == "feed_forward"
    return replace(source, parts=((function("feed_forward" if fed else "map", given).terms[0], made),))
