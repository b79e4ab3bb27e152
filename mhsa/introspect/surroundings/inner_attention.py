"""An adapter around another one: the module gives what its attention gives, before a residual, a norm or a feed-forward."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mhsa.introspect.projections.parts import WHOLE, Parts
from mhsa.introspect.surroundings.activations import without_activations
from mhsa.introspect.surroundings.heads_alone import Gate, Residual, heads_alone
from mhsa.introspect.surroundings.one_attention import OneAttention
from mhsa.introspect.surroundings.watched_call import in_shape_of
from mhsa.records.conventions.layer import Sum
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.projection_views import Projections

# What the attention of the call in progress gave: each thread has its own.
_GIVEN: ContextVar[list[Tensor] | None] = ContextVar("mhsa_inner_attention", default=None)


Joined = Literal["", "query first", "heads first"]


@dataclass(frozen=True)
class Surroundings:
    """What is around the attention.

    Attributes:
        attention: path of the part whose output is the attention's: the out projection, or a module that has it.
        before: paths of norms that the inputs go through; they are taken out of the modules that are built.
        frozen: paths of parameters that come after the attention: they are not its own.
        text: what is left out, in words.
        parts: each of them in a word or two, for what is not judged.
        stated: whether the module's parts show it (a norm, a feed-forward); a residual alone is seen by trying.
        tokens: whether the attention gives [B, N, C], where the module gives images of N pixels.
        joined: whether the out projection is given the query next to the heads: "query first", "heads first"; empty where not.
        drops_after: whether every dropout comes after the attention, so that there is none in it.
        residual: what is added to the heads before any out projection; then their sum with it is left out, and ``attention``
            is empty.
        gate: what multiplies the heads, or makes a mix of them and the queries, before that.
        bare: whether a norm takes the heads, without an out projection; then ``attention`` is empty, too.
        activations: operations between the maps of queries, keys and values and the scores, which are left out.
        pooled: whether the module's output has no tokens any more, though the attention's has.
        unexplained: whether what comes after the attention is no residual, norm or feed-forward that is known.
        layer: what the whole layer computes, where that is sums, norms, the attention and a feed-forward.
    """

    attention: str
    before: tuple[str, ...]
    frozen: tuple[str, ...]
    text: str
    parts: tuple[str, ...]
    stated: bool
    tokens: bool = False
    joined: Joined = ""
    drops_after: bool = False
    residual: Residual = ""
    gate: Gate = ""
    bare: bool = False
    activations: tuple[str, ...] = ()
    pooled: bool = False
    unexplained: bool = False
    layer: Sum | None = None

    @property
    def taken_apart(self) -> Parts:
        """The weight of an out projection of which the heads take a part alone."""
        return Parts(joined=f"{self.attention}.weight", heads_first=self.joined == "heads first") if self.joined else WHOLE


class InnerAttention(Adapter):
    """The attention inside of what another adapter builds; it is called in the same way."""

    def __init__(self, base: Adapter, around: Surroundings) -> None:
        self.base, self.around = base, around
        self.inputs, self.takes_mask, self.needs_mask = base.inputs, base.takes_mask, base.needs_mask
        self.weights_on_request, self.sizes, self.contract = base.weights_on_request, base.sizes, base.contract
        self.not_given = base.not_given
        self.apart = _apart(base, around)

    def build(self, head: int, d_model: int) -> nn.Module:
        """Build the whole module, and have it give what its attention gives."""
        return self._prepared(self.base.build(head, d_model))

    def build_dropping(self, head: int, d_model: int, rate: float) -> nn.Module | None:
        """Build the same with this dropout."""
        module = None if self.around.drops_after else self.base.build_dropping(head, d_model, rate)
        return None if module is None else self._prepared(module)

    def call(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *more: Any, **named: Any
    ) -> Any:  # fmt: skip
        """Call the whole module as its own adapter does."""
        return self.base.call(module, query, key, value, mask, *more, **named)

    def projections(self, module: nn.Module) -> Projections | None:
        """Return what the other adapter knows."""
        return self.base.projections(module)

    def describe(self) -> str:
        """Return the call."""
        return self.base.describe()

    def _prepared(self, module: nn.Module) -> nn.Module:
        if _begin in module._forward_pre_hooks.values():  # built by build() already
            return module
        for path in self.around.before:
            owner, _, name = path.rpartition(".")
            setattr(module.get_submodule(owner), name, nn.Identity())
        parameters = dict(module.named_parameters(remove_duplicate=False))
        for path in self.around.frozen:
            if path in parameters:
                parameters[path].requires_grad_(False)
        module.register_forward_pre_hook(_begin)
        if self.around.activations:
            module.forward = functools.partial(without_activations, module.forward)
        if self.around.residual or self.around.bare:
            put = functools.partial(_put, tokens=self.around.tokens)
            module.forward = functools.partial(heads_alone, module.forward, put, self.around.gate, self.around.bare)
            return module
        if not self.around.attention:
            return module
        attention = _nearest(module, self.around.attention)
        attention.register_forward_hook(_catch)
        if self.around.joined:
            attention.register_forward_pre_hook(functools.partial(_heads_alone, first=self.around.joined == "heads first"))
        module.register_forward_hook(functools.partial(_give, tokens=self.around.tokens))
        return module


class InnerAttentionOfModule(InnerAttention, ModuleAdapter):
    """The attention inside of a module that is understood by its names: it is read like any other module."""

    def __init__(self, base: ModuleAdapter, around: Surroundings) -> None:
        vars(self).update(vars(base))
        self.base, self.around = base, around
        self.apart = _apart(base, around)

    def build(self, head: int, d_model: int) -> nn.Module:
        """Build the whole module, and have it give what its attention gives."""
        return self._prepared(ModuleAdapter.build(self, head, d_model))

    def build_dropping(self, head: int, d_model: int, rate: float) -> nn.Module | None:
        """Build the same with this dropout."""
        module = None if self.around.drops_after else ModuleAdapter.build_dropping(self, head, d_model, rate)
        return None if module is None else self._prepared(module)

    call = ModuleAdapter.call
    projections = ModuleAdapter.projections
    describe = ModuleAdapter.describe


class InnerAttentionOfOne(InnerAttentionOfModule, OneAttention):
    """The attention inside of one of a layer's attentions, which has a residual or a norm of its own."""

    def build(self, head: int, d_model: int) -> nn.Module:
        """Build the whole layer, and have it give what the attention inside gives."""
        return self._prepared(OneAttention.build(self, head, d_model))

    def build_dropping(self, head: int, d_model: int, rate: float) -> nn.Module | None:
        """Build the same with this dropout."""
        module = None if self.around.drops_after else OneAttention.build_dropping(self, head, d_model, rate)
        return None if module is None else self._prepared(module)


def inside(base: Adapter, around: Surroundings) -> InnerAttention:
    """Return the adapter of the attention inside what ``base`` builds."""
    if type(base) is OneAttention:
        return InnerAttentionOfOne(base, around)
    return InnerAttentionOfModule(base, around) if type(base) is ModuleAdapter else InnerAttention(base, around)


def _apart(base: Adapter, around: Surroundings) -> frozenset[str]:
    """Return the parameters that are no maps of the attention: those that come after it are none."""
    return base.apart | frozenset(around.frozen)


def _nearest(module: nn.Module, path: str) -> nn.Module:
    """Return the part at a path, or what holds its place: in some sizes an identity stands for the whole out projection."""
    parts: dict[str, nn.Module] = dict(module.named_modules(remove_duplicate=False))
    while path not in parts:
        path = path.rpartition(".")[0]
    return parts[path]


def _begin(module: nn.Module, args: Any) -> None:
    _GIVEN.set([])


def _heads_alone(part: nn.Linear, args: tuple[Tensor, ...], *, first: bool) -> tuple[Tensor]:
    """Return what an out projection is given, with zeros in the place of the query, which is as wide as the output."""
    heads, width = args[0], part.out_features
    query = torch.zeros_like(heads[..., :width])
    return (torch.cat((heads[..., :-width], query) if first else (query, heads[..., width:]), dim=-1),)


def _catch(part: nn.Module, args: Any, gave: Any) -> None:
    given = _GIVEN.get()
    first = gave[0] if isinstance(gave, (tuple, list)) else gave
    if given is not None:
        given.append(first.clone())  # what comes after may add to it in place


def _give(module: nn.Module, args: Any, gave: Any, *, tokens: bool) -> Any:
    """Put what the attention gave in the place of the module's output: the first tensor of that shape."""
    given = _GIVEN.get()
    _GIVEN.set(None)
    if not given:
        return gave
    return _put(given[-1], gave, tokens=tokens)


def _put(inner: Tensor, gave: Any, *, tokens: bool) -> Any:
    if isinstance(gave, Tensor):
        return in_shape_of(inner, gave, tokens=tokens)
    items = list(gave.values()) if isinstance(gave, Mapping) else list(gave)
    at = next((i for i, x in enumerate(items) if isinstance(x, Tensor) and x.shape == inner.shape), 0)
    items[at] = inner
    return dict(zip(gave, items, strict=True)) if isinstance(gave, Mapping) else tuple(items)
