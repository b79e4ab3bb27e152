"""An adapter of one of a layer's attentions: the layer is called, and what this attention gives is returned."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from mhsa.records.conventions.layer import Sum
from mhsa.records.understood import Understood
from mhsa.subject.adapters.adapter import set_dropout
from mhsa.subject.adapters.module_adapter import ModuleAdapter

_FIRST: ContextVar[list[Any] | None] = ContextVar("mhsa_one_attention", default=None)  # what it gave in the call in progress


@dataclass(frozen=True)
class Others:
    """What is done to a layer so that an attention is given the layer's own inputs.

    Attributes:
        path: of the attention.
        silent: paths of the others, which give zeros, or, if ``passing``, what they are given first.
        passing: whether residuals are inside of them.
        norms: paths of norms before it, which are taken out.
    """

    path: str
    silent: tuple[str, ...]
    passing: bool
    norms: tuple[str, ...]


def prepare(module: nn.Module, others: Others) -> None:
    """Take out the norms, and silence the other attentions."""
    for path in others.norms:
        owner, _, name = path.rpartition(".")
        setattr(module.get_submodule(owner), name, nn.Identity())
    for path in others.silent:
        module.get_submodule(path).register_forward_hook(functools.partial(_silence, passing=others.passing), with_kwargs=True)


class OneAttention(ModuleAdapter):
    """One attention of a layer that has several; it is called as the layer is."""

    def __init__(self, base: ModuleAdapter, others: Others, left: Sequence[str]) -> None:
        vars(self).update(vars(base))
        self.others = others
        self.weights_on_request = False
        self.left = (*left, "what comes after it")
        self.layer: Sum | None = None  # what the whole layer computes, where that is known
        self.masks: str | None = None  # which of its attentions is given a wrong mask, where that is known

    @property
    def about(self) -> Understood:
        """What it is, as part of a reading."""
        path = self.others.path
        return Understood("surroundings", f"{path} alone, called through the layer", "declared", {"attention": path})

    def build(self, head: int, d_model: int) -> nn.Module:
        """Build the whole layer, and have it give what its attention gives."""
        return self._alone(super().build(head, d_model))

    def build_dropping(self, head: int, d_model: int, rate: float) -> nn.Module | None:
        """Build the same with this dropout inside of the attention; None where it has none: the layer's own comes after it."""
        module = super().build_dropping(head, d_model, rate)
        if module is None or not set_dropout(module.get_submodule(self.others.path), rate):
            return None
        return self._alone(module)

    def _alone(self, module: nn.Module) -> nn.Module:
        if _begin in module._forward_pre_hooks.values():  # built by build() already
            return module
        prepare(module, self.others)
        own = set(module.get_submodule(self.others.path).modules())
        for part in module.modules():
            if part not in own:
                _without_parameters(part)
        module.register_forward_pre_hook(_begin)
        module.get_submodule(self.others.path).register_forward_hook(_catch)
        module.register_forward_hook(_give)
        return module


def _without_parameters(part: nn.Module) -> None:
    """Make buffers of a part's parameters: they are none of the attention's, and are used as before."""
    for name, parameter in list(part._parameters.items()):
        del part._parameters[name]
        part.register_buffer(name, None if parameter is None else parameter.detach())


def _silence(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], gave: Any, *, passing: bool) -> Any:
    """Return what the other attention gives: zeros, or the first tensor that it is given."""
    first = gave[0] if isinstance(gave, (tuple, list)) else gave
    given = next((x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)), None)
    instead = given if passing and given is not None and given.shape == first.shape else first * 0
    return (instead, *gave[1:]) if isinstance(gave, (tuple, list)) else instead


def _begin(module: nn.Module, args: Any) -> None:
    _FIRST.set([])


def _catch(part: nn.Module, args: Any, gave: Any) -> None:
    given = _FIRST.get()
    first = gave[0] if isinstance(gave, (tuple, list)) else gave
    if given is not None and isinstance(first, Tensor):
        given.append(first.clone())  # what comes after may add to it in place


def _give(module: nn.Module, args: Any, gave: Any) -> Any:
    """Return what the attention gave in the first of its calls; all else that the layer returns is left out."""
    given = _FIRST.get()
    _FIRST.set(None)
    return given[0] if given else gave
