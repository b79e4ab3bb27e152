"""Views of the four maps of every module that an adapter builds."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from mhsa.introspect.projections.discover import discover
from mhsa.introspect.projections.recipe import Recipe
from mhsa.introspect.writable_views import require_views
from mhsa.records.errors import SubjectError
from mhsa.subject.adapter import Adapter
from mhsa.subject.parameter_layout import Sizes
from mhsa.subject.projections import Projections

Bind = Callable[[nn.Module, Sizes], Projections]


def bind_projections(
    adapter: Adapter, module: nn.Module, sizes: Sizes, forward: Callable[..., Tensor]
) -> tuple[Bind, str, Recipe | None]:
    """Return how to view the maps of any module that ``adapter`` builds, a line on where they were found, and the recipe.

    ``module`` has these sizes, generic parameters, and lets gradients through. There is no recipe where the adapter knows.

    Raises:
        SubjectError: they cannot be found.
        Question: the adapter's are no views of its parameters.
    """
    if adapter.projections(module) is None:
        grouped = adapter.contract.kv_heads == "grouped"
        recipe = discover(
            module, sizes, lambda q, k, v: forward(module, q, k, v), adapter.inputs,
            grouped=grouped, sinks=adapter.contract.sinks == "learned",
        )  # fmt: skip
        return recipe.bind, recipe.describe(), recipe

    def bind(other: nn.Module, _: Sizes) -> Projections:
        projections = adapter.projections(other)
        if projections is None:
            raise SubjectError(f"{type(adapter).__name__}.projections() returned None for one module, but not for another")
        return projections

    require_views(lambda other: bind(other, sizes), module, f"{type(adapter).__name__}.projections()")
    return bind, "", None
