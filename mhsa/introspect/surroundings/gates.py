"""Gates after the attention: a learned factor of what it gives, a map of that which scales the query, a mix of both.

Each is followed exactly, in the numbers of one call, so that nothing else than the gate is left out. Where the attention is
in none of the terms the gate itself must be made of what it gives: else nothing of the attention reached the output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mhsa.introspect.layers.same import same
from mhsa.introspect.projections.search.layers import is_linear
from mhsa.introspect.surroundings.watched_call import PartCall

_SQUASHING: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    **_SQUASHING, "relu": torch.relu, "gelu": nn.functional.gelu, "silu": nn.functional.silu,
    "leaky_relu": nn.functional.leaky_relu, "elu": nn.functional.elu,
}  # fmt: skip


@dataclass(frozen=True)
class _Gate:
    """A factor: what it is called, its numbers, and whether it is made of what the attention gives."""

    name: str
    value: Tensor
    of_attention: bool


def gated(
    module: nn.Module, calls: Sequence[PartCall], inner: Tensor, targets: Sequence[Tensor], residuals: Sequence[Tensor]
) -> tuple[str, tuple[str, ...]]:  # fmt: skip
    """Return how one of the targets is made of the attention's output by a gate, in words; empty where none is.

    Args:
        module: whose parameters may be gates.
        calls: of its parts, whose outputs may be gates.
        inner: what the attention gives.
        targets: what is to be explained: the output, or what a norm that gives it is given.
        residuals: what may be added.
    """
    for gate in _gates(module, calls, inner, residuals):
        for target in targets:
            for words, parts, made in _terms(gate, inner, residuals):
                if same(target, made):
                    return words, parts
    return "", ()


def activated(inner: Tensor, final: Tensor) -> str:
    """Return the activation that follows on what the attention gives, by its name; empty where none does."""
    return next((name for name, squash in _ACTIVATIONS.items() if same(final, squash(inner))), "")


def _gates(
    module: nn.Module, calls: Sequence[PartCall], inner: Tensor, residuals: Sequence[Tensor]
) -> Iterator[_Gate]:  # fmt: skip
    """Yield learned factors, of one number or one for each feature, and outputs of linear maps; each as it is, and squashed."""
    features = inner.size(-1) if inner.dim() == 3 else inner.size(1)
    for path, parameter in module.named_parameters():
        if parameter.numel() in (1, features) and _fits(parameter, inner):
            yield _Gate(path, parameter, of_attention=False)
            yield from (_Gate(path, squash(parameter), of_attention=False) for squash in _SQUASHING.values())
    for call in calls:
        gave = call.output
        if call.path and gave is not None and is_linear(call.part) and not same(gave, inner) and _fits(gave, inner):
            made_of_it = any(_holds(x, inner) for x in call.given)
            yield from (_Gate(call.path, squash(gave), of_attention=made_of_it) for squash in _SQUASHING.values())
    for name, squash in _SQUASHING.items():
        yield _Gate(f"{name} of it", squash(inner), of_attention=True)


def _terms(
    gate: _Gate, inner: Tensor, residuals: Sequence[Tensor]
) -> Iterator[tuple[str, tuple[str, ...], Tensor]]:  # fmt: skip
    """Yield what a gate makes, with its words and the names of its parts."""
    g, name = gate.value, f"gate {gate.name}"
    if g.numel() == 1 or g.dim() > 1:  # a learned number for each feature, without a residual, may be a part of anything
        yield f"the {name} that scales it", (name,), g * inner
    for x in residuals:
        both = (name, "residual")
        yield f"the {name} that scales it and the residual that is added to it", both, g * inner + x
        yield f"the {name} that mixes it with the residual", both, g * inner + (1 - g) * x
        yield f"the {name} that mixes it with the residual", both, (1 - g) * inner + g * x
        if gate.of_attention:
            yield f"the {name} that is made of it and scales the query", (name,), g * x
            yield f"the {name} that is made of it and scales the query, and the residual", both, g * x + x


def _fits(gate: Tensor, inner: Tensor) -> bool:
    """Whether a gate is as large as what it scales, or is repeated for that."""
    try:
        return gate.expand_as(inner).shape == inner.shape
    except RuntimeError:
        return False


def _holds(given: Tensor, inner: Tensor) -> bool:
    """Whether a tensor is what the attention gives, or has it next to something else."""
    if given.dim() != inner.dim():
        return False
    axis = -1 if inner.dim() == 3 else 1
    width = inner.size(axis)
    if given.size(axis) < width:
        return False
    ends = given.narrow(axis, 0, width), given.narrow(axis, given.size(axis) - width, width)
    return any(same(end, inner) for end in ends)
