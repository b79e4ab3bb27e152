"""Follows the masks of a layer through one call: which of them each of its attentions is given, alone or with others.

Numbers do not show it, for masks may be turned, inverted and combined: what is made of a tensor has its name, whatever is done.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mhsa.introspect.layers.follow import tensors_in
from mhsa.introspect.layers.watched_forward import watched_forward


@dataclass(frozen=True)
class Attended:
    """One call of an attention.

    Attributes:
        path: of the attention, and its class.
        sequences: for each sequence that it is given, which inputs of the layer that is made of.
        masks: for each other tensor, which masks it is made of, with the tensor.
        near: masks that sequences are made of, too.
    """

    path: str
    kind: type[nn.Module]
    sequences: tuple[frozenset[str], ...]
    masks: tuple[tuple[frozenset[str], Tensor], ...]
    near: frozenset[str]

    @property
    def given(self) -> frozenset[str]:
        """Return the masks that anything it is given is made of."""
        return self.near.union(*(names for names, _ in self.masks))


class FollowMasks(TorchFunctionMode):
    """The names of the inputs that each tensor of one call is made of."""

    def __init__(self, own: str, others: Collection[str], masks: Collection[str]) -> None:
        """Follow what is made of the layer's ``own`` sequence, the ``others`` and its masks: names of arguments."""
        super().__init__()
        self.own, self.sequences, self.masks = own, frozenset((own, *others)), frozenset(masks)
        self.attended: list[Attended] = []
        self.used: set[str] = set()  # masks with which anything is done, or which an attention is given
        self._inside = 0
        self._names: dict[int, frozenset[str]] = {}
        self._kept: list[Any] = []  # an object that is gone leaves its number to another one

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function, and note what its result is made of."""
        gave = func(*args, **(kwargs or {}))
        if self._names and not self._inside:
            names = self._made_of((*args, *(kwargs or {}).values()))
            name = getattr(func, "__name__", "")
            changed = args[:1] if name == "__setitem__" or (name.endswith("_") and not name.endswith("__")) else ()
            if names:
                self.used |= names & self.masks
                self._note((gave, *changed), names)
        return gave

    def watch(self, module: nn.Module, attentions: Collection[str], call: Callable[[], Any]) -> None:
        """Follow one call of a layer; what it raises is raised."""
        paths = {"", *attentions}
        parts = ((p, self._before(path), self._after(path)) for path, p in module.named_modules() if path in paths)
        with watched_forward(parts), self:
            call()

    def _before(self, path: str) -> Callable[..., None]:
        def hook(part: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
            if path == "" and not self._names:
                given = inspect.signature(part.forward).bind_partial(*args, **kwargs).arguments
                for name in (*self.sequences, *self.masks):
                    self._note((given.get(name),), frozenset((name,)))
            elif path and not self._inside:
                self._attend(path, part, (*args, *kwargs.values()))
            self._inside += path != ""

        return hook

    def _after(self, path: str) -> Callable[..., None]:
        def hook(part: nn.Module, args: Any, kwargs: Mapping[str, Any], gave: Any) -> None:
            self._inside -= path != ""
            if path and not self._inside and self.attended:
                made = frozenset[str]().union(*self.attended[-1].sequences)
                self._note((gave,), frozenset((self.own,)) if self.own in made else made)  # whatever that attended to

        return hook

    def _attend(self, path: str, part: nn.Module, given: Iterable[Any]) -> None:
        tensors = [(x, names) for x in tensors_in(given) if (names := self._names.get(id(x)))]
        sequences = [names for _, names in tensors if names & self.sequences]
        masks = tuple((names, x.detach().clone()) for x, names in tensors if not names & self.sequences)
        found = Attended(
            path, type(part), tuple(names & self.sequences for names in sequences), masks,
            frozenset[str]().union(*(names & self.masks for names in sequences)),
        )  # fmt: skip
        self.used |= found.given
        self.attended.append(found)

    def _made_of(self, given: Iterable[Any]) -> frozenset[str]:
        return frozenset[str]().union(*(self._names.get(id(x), frozenset()) for x in tensors_in(given)))

    def _note(self, given: Iterable[Any], names: frozenset[str]) -> None:
        for x in tensors_in(given):
            self._names[id(x)] = names
            self._kept.append(x)
