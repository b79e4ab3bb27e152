"""What a layer makes of its inputs and of what its attentions give, as a formula: parts of it are watched in one call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mhsa.introspect.layers.follow import Follow, tensors_in
from mhsa.introspect.layers.stream import UNCLEAR, Known, Made
from mhsa.introspect.layers.watched_forward import watched_forward
from mhsa.introspect.projections.role_names import QKV, named_roles
from mhsa.introspect.projections.search.layers import is_norm
from mhsa.records.conventions.layer import ATTENTIONS, Sum, in_short

MOST_ATTENTIONS = 4  # more than a layer has: in a stack of layers each sum is written within the next one


def layer_formula(
    module: nn.Module, call: Callable[[], Any], attentions: Mapping[str, str], *, unused: bool = False
) -> Sum | None:  # fmt: skip
    """Return the formula of a layer; None where it is another one than sums, norms, attentions, maps and feed-forwards.

    None, too, where the call raises while it is followed: a compiled part may refuse that.

    Args:
        module: the layer (float64, in eval mode).
        call: one call of it.
        attentions: paths of parts: attentions, or their out projections, and what each is called: ``attention``, ``sublayer``.
        unused: return the formula of a layer with a feed-forward, too, that calls attentions and has nothing of what they give.
    """
    watched = _PartsOfALayer(attentions)
    parts = ((part, watched.before(path), watched.after(path)) for path, part in module.named_modules())
    try:
        with watched_forward(parts), watched.follow:
            call()
    except Exception:
        return None
    layer = watched.follow.layer
    if layer is None or not 0 < watched.attended <= MOST_ATTENTIONS:
        return None
    known = has_attention(layer) or (unused and any(each.holds("feed_forward") for each in layer.within()))
    return in_short(layer) if known else None


def has_attention(layer: Sum) -> bool:
    """Whether something that an attention gives is in a formula."""
    return any(each.holds(name) for each in layer.within() for name in ATTENTIONS)


class _PartsOfALayer:
    """The hooks of a layer's parts."""

    def __init__(self, attentions: Mapping[str, str]) -> None:
        self.follow = Follow()
        self.attentions = attentions
        self.attended = 0
        self.ended = False
        self._steps: list[tuple[nn.Module, list[Known]]] = []  # attentions and norms in progress, and what each is given
        self._maps: list[tuple[str, Known | None]] = []  # the maps since the last attention, and what each is given

    def before(self, path: str) -> Callable[..., None]:
        """Return the hook of a part that begins."""

        def hook(part: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
            if path == "" and not self.follow.inputs:
                self.follow.begin(list(tensors_in((*args, *kwargs.values()))))
            if self.ended:
                return  # it may be called once for each query
            if path in self.attentions or (path and _is_norm_of_one(part, self._followed((*args, *kwargs.values())))):
                given = [] if self.follow.inside else self._known_to(path, part, args, kwargs)
                self._steps.append((part, given))
                self.follow.inside += 1
            elif _is_map(part) and not self.follow.inside:
                self._maps.append((path, self.follow.known(args[0] if args else None)))

        return hook

    def after(self, path: str) -> Callable[..., None]:
        """Return the hook of a part that ends."""

        def hook(part: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], gave: Any) -> None:
            if self._steps and self._steps[-1][0] is part:
                _, given = self._steps.pop()
                self.follow.inside -= 1
                if not self.follow.inside:
                    self._give(path, given, list(tensors_in((gave,))))
            if path == "" and not self.ended:
                self.ended = True
                self.follow.end(list(tensors_in((gave,))))

        return hook

    def _followed(self, given: Sequence[Any]) -> int:
        return sum(self.follow.of(x) is not None for x in tensors_in(given))

    def _known_to(self, path: str, part: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Known]:
        """Return the sums that a part is given: the queries, keys and values of an attention."""
        if path not in self.attentions:
            return [known for x in args[:1] if (known := self.follow.known(x)) is not None]
        maps, self._maps = self._maps, []
        if _is_map(part) and sum(p.dim() > 1 for p in part.parameters()) == 1:  # an out projection: an attention has several
            return self._known_to_maps(maps, args)
        names = inspect.signature(part.forward).parameters
        given = [x for x in (*zip(names, args, strict=False), *kwargs.items()) if self.follow.of(x[1]) is not None]
        given = [(name, x) for name, x in given if x.dim() >= 3]  # a mask may be made of an input
        found = [self.follow.known(x) for _, x in sorted(given, key=lambda each: _place(each[0]))]
        return [known for known in found if known is not None] if None not in found else []

    def _known_to_maps(self, maps: Sequence[tuple[str, Known | None]], args: Sequence[Any]) -> list[Known]:
        """Return the sums that the maps of an attention are given whose out projection begins."""
        roles: dict[str, Known | None] = {}
        for path, known in maps:
            for role in named_roles(f"{path}.weight"):
                roles.setdefault(role, known)
        found = [roles[role] for role in QKV if role in roles]
        if found and "query" in roles:
            return [known for known in found if known is not None] if None not in found else []
        state = self.follow.of(args[0] if args else None)
        return list(state.of) if isinstance(state, Made) and len(state.of) == 1 else []

    def _give(self, path: str, given: list[Known], outputs: Sequence[Tensor]) -> None:
        """Note what an attention or a norm gives: the first tensor in the shape of what it is given."""
        name = self.attentions.get(path, "norm")
        self.attended += path in self.attentions
        made = self.follow.step(name, *given) if given and self.attended <= MOST_ATTENTIONS else UNCLEAR
        for x in outputs:
            if isinstance(made, Known) and x.shape == made.places.shape:
                self.follow.set(x, made)
                return
            self.follow.set(x, UNCLEAR)


def _place(argument: str) -> int:
    """Return the place of an argument among queries, keys and values, by its name; those without one keep theirs."""
    roles = named_roles(argument)
    return QKV.index(roles[0]) if len(roles) == 1 and roles[0] in QKV else 0


def _is_map(part: nn.Module) -> bool:
    """Whether a part has a matrix of its own, and no parts."""
    return not any(True for _ in part.children()) and any(p.dim() > 1 for p in part.parameters())


def _is_norm_of_one(part: nn.Module, followed: int) -> bool:
    """Whether a part is a norm of one tensor, by its class, and has no matrix: a wrapper may be called so, too."""
    return is_norm(part) and followed == 1 and all(sum(n > 1 for n in p.shape) < 2 for p in part.parameters())
