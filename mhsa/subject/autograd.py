"""One backward pass, started from tensors that lie in memory as they are, and its gradients by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mhsa.oracle.bounded import Array
from mhsa.subject.memory_layout import numbers
from mhsa.subject.projection_views import Projections


def backward_pass(
    starts: Iterable[tuple[Tensor, Tensor]], leaves: Iterable[Tensor], *, keep: bool = False
) -> dict[Tensor, Tensor]:
    """Differentiate the sum of <output, gradient> over ``starts``; with ``keep`` the graph may be differentiated again.

    Returns:
        The gradients of those leaves that require one and that autograd knows an output to depend on.
    """
    trained = [leaf for leaf in leaves if leaf.requires_grad]
    sums = [_Start.apply(output, gradient) for output, gradient in starts]  # type: ignore[no-untyped-call]
    gradients = torch.autograd.grad(sums, trained, allow_unused=True, retain_graph=keep)
    return {leaf: gradient for leaf, gradient in zip(trained, gradients, strict=True) if gradient is not None}


def by_name(
    gradients: Mapping[Tensor, Tensor], inputs: Mapping[str, Tensor], views: Projections, bias: Tensor | None
) -> tuple[dict[str, Array], frozenset[str]]:  # fmt: skip
    """Return the gradients of inputs, parameters and bias as numbers, and the names of those that no output depends on.

    Gradients of the latter are zero.
    """
    given = inputs if bias is None else {**inputs, "bias": bias}
    missing = {name for name, tensor in given.items() if tensor not in gradients}
    found = {name: numbers(gradients.get(tensor, torch.zeros_like(tensor))) for name, tensor in inputs.items()}
    for name, view in views.views():
        gradient, complete = view.gradient(gradients)
        found[name] = numbers(gradient)
        missing |= set() if complete else {name}
    if bias is not None:
        found["bias"] = numbers(gradients.get(bias, torch.zeros_like(bias)))
    return found, frozenset(missing)


def of_call(
    start: tuple[Tensor, Tensor], old: Sequence[Tensor], given: Mapping[int, Tensor], own: Iterable[Tensor],
    views: Projections, *, keep: bool = False,
) -> dict[str, Array]:  # fmt: skip
    """Return the gradients, by name, of a call with new tensors for query, key and value.

    Args:
        start: its output and the gradient to start from.
        old: the tensors of an earlier call, in the order of query, key, value; one may be several of them.
        given: the new ones, by the ids of the old ones.
        own: the module's parameters.
        views: of its maps.
        keep: whether the graph may be differentiated again.
    """
    found = backward_pass([start], [*given.values(), *own], keep=keep)
    names: dict[int, str] = {}
    for name, tensor in zip(("query", "key", "value"), old, strict=True):
        names.setdefault(id(tensor), name)
    return by_name(found, {name: given[key] for key, name in names.items()}, views, None)[0]


def is_custom(output: Tensor) -> bool:
    """Whether a custom autograd.Function took part in making ``output``."""
    return any(isinstance(node, torch.autograd.function.BackwardCFunction) for node in _nodes(output))


def changes_dtype(output: Tensor) -> bool:
    """Whether numbers were converted to another dtype in making ``output``, and so may have lost digits on the way."""
    return any(node.name().startswith("ToCopyBackward") for node in _nodes(output))


def _nodes(output: Tensor) -> Iterator[Any]:
    """Yield the nodes of the graph of a tensor, each once."""
    seen, todo = set(), [output.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        todo += [following for following, _ in node.next_functions]


class _Start(torch.autograd.Function):
    """A number whose gradient is a given tensor as it lies in memory.

    (``torch.autograd.grad(..., grad_outputs)`` would do, but imports half a second of symbolic shapes to check theirs.)
    """

    @staticmethod
    def forward(ctx: Any, output: Tensor, gradient: Tensor) -> Tensor:
        """Return some number."""
        ctx.gradient = gradient
        return output.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor, None]:
        """Return the given gradient."""
        return ctx.gradient, None
