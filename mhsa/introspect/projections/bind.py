"""Views of the four maps of every module that an adapter builds."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from mhsa.introspect.projections.bias_tables import require_distances
from mhsa.introspect.projections.discover import discover
from mhsa.introspect.projections.head_order import in_order
from mhsa.introspect.projections.key_heads import require_key_heads
from mhsa.introspect.projections.parts import WHOLE, Parts, four_in_one
from mhsa.introspect.projections.recipe import Recipe
from mhsa.introspect.writable_views import require_views
from mhsa.records.errors import Question, SubjectError
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.parameter_layout import Sizes
from mhsa.subject.projection_views import Projections

Bind = Callable[[nn.Module, Sizes], Projections]


def bind_projections(
    adapter: Adapter, module: nn.Module, sizes: Sizes, forward: Callable[..., Tensor], parts: Parts = WHOLE
) -> tuple[Bind, str, Recipe | None]:
    """Return how to view the maps of any module that ``adapter`` builds, a line on where they were found, and the recipe.

    ``module`` has these sizes, generic parameters, and lets gradients through. There is no recipe where the adapter knows.
    ``parts`` are parameters of which a map is a part.

    Raises:
        SubjectError: they cannot be found.
        Question: the adapter's are no views of its parameters, keys and values have fewer heads than queries, which
            nothing declares, or a table of biases has more buckets than the declared distances fill.
    """
    if adapter.projections(module) is None:
        grouped = adapter.contract.kv_heads is not None
        call: Callable[..., Tensor] = lambda q, k, v: forward(module, q, k, v)  # noqa: E731
        sinks, norm = adapter.contract.sinks == "learned", adapter.contract.formula.qk_norm
        bias = adapter.contract.formula.bias
        apart = adapter.apart
        build = (lambda head: adapter.build(head, head * sizes.d_k)) if adapter.sizes is None else None

        def found(parts: Parts) -> Recipe:
            return discover(
                module, sizes, call, adapter.inputs, grouped=grouped, sinks=sinks, norm=norm, bias=bias, apart=apart,
                parts=parts, build=build,
            )  # fmt: skip

        try:
            recipe = found(parts) if parts else _of_parts(found, four_in_one(module, sizes))
        except SubjectError:
            times = 1 if grouped else _times_as_narrow(module, sizes, call, adapter)
            if times == 1:
                raise
            raise Question(
                f"the maps of keys and values are {times} times as narrow as those of queries: several query heads seem to "
                "share a head of keys and values",
                {"kv_heads": "grouped"},
            ) from None
        maps = recipe.bind(module, sizes)
        require_key_heads(adapter, maps, sizes)
        require_distances(adapter.contract.formula, maps.table.shape[0] if maps.table else 0)
        return in_order(recipe.bind, adapter.contract.heads), recipe.describe(), recipe

    def bind(other: nn.Module, _: Sizes) -> Projections:
        projections = adapter.projections(other)
        if projections is None:
            raise SubjectError(f"{type(adapter).__name__}.projections() returned None for one module, but not for another")
        return projections

    require_views(lambda other: bind(other, sizes), module, f"{type(adapter).__name__}.projections()")
    return in_order(bind, adapter.contract.heads), "", None


def _of_parts(found: Callable[[Parts], Recipe], four: Parts) -> Recipe:
    """Return the recipe in which every parameter is one map or a packed one; where there is none, of four maps in one."""
    try:
        return found(WHOLE)
    except SubjectError as error:
        if not four:
            raise
        try:
            return found(four)
        except SubjectError:
            raise error from None


def _times_as_narrow(module: nn.Module, sizes: Sizes, forward: Callable[..., Tensor], adapter: Adapter) -> int:
    """Return how many query heads share a head of keys and values, by the sizes of the maps; 1 where these do not say so."""
    try:
        sinks, norm = adapter.contract.sinks == "learned", adapter.contract.formula.qk_norm
        found = discover(
            module, sizes, forward, adapter.inputs, grouped=True, sinks=sinks, norm=norm, bias=adapter.contract.formula.bias
        ).bind(module, sizes)
    except (SubjectError, RuntimeError):
        return 1
    wide, narrow = found.query.weight.shape[0], found.key.weight.shape[0]
    fits = wide % narrow == 0 and found.value.weight.shape[0] == narrow and found.out.weight.shape[1] == wide
    return wide // narrow if fits else 1
