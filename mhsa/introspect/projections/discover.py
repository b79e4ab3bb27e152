"""Finds the projections of a module without an adapter: by name, by shape, and by where gradients flow.

Names decide which parameter is which, because a module that multiplies the key by ``w_value`` is wrong. Shapes, at
sizes that are all different, decide what each axis is. Where both leave a choice (x @ W or W @ x, the order inside
a packed matrix, names that say nothing) one backward pass of tagged inputs settles it: the query carries only feature
0, the key only feature 1, the value only feature 2, so the gradient of each weight is confined to the columns of its
role. No number is compared with an expected one: a wrong scale, axis or mask does not disturb the finding.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from torch import nn

from mhsa.introspect.projections.bias_tables import TableParameter, named_table, require_table
from mhsa.introspect.projections.gradient_tags import Forward, tag
from mhsa.introspect.projections.low_rank import switch_off
from mhsa.introspect.projections.norm_gains import named_gains, require_norms
from mhsa.introspect.projections.parts import WHOLE, Parts
from mhsa.introspect.projections.recipe import Recipe, computed_maps
from mhsa.introspect.projections.search.candidates import Candidates, group_heads
from mhsa.introspect.projections.search.four_maps import require_all_roles, require_nothing_else, require_widths
from mhsa.introspect.projections.search.layers import parameters_of_norms, weights_of_linears
from mhsa.introspect.projections.search.roles_of_biases import find_biases
from mhsa.introspect.projections.search.roles_of_weights import find_roles
from mhsa.introspect.projections.sinks import named_sinks, require_sinks
from mhsa.oracle.formula.bias_fields import Bias, BiasTable
from mhsa.oracle.formula.fields import QkNorm
from mhsa.subject.parameter_layout import Sizes


def discover(
    module: nn.Module, sizes: Sizes, forward: Forward, inputs: str, *, grouped: bool = False, sinks: bool = False,
    norm: QkNorm | None = None, bias: Bias = None, apart: Collection[str] = (), parts: Parts = WHOLE,
    build: Callable[[int], nn.Module] | None = None,
) -> Recipe:  # fmt: skip
    """Find the recipe on ``module`` (float64, eval); ``inputs`` is ``"qkv"``, ``"q,kv"`` or ``"x"``.

    Where they are ``grouped``, keys and values may have fewer heads than queries; ``sinks`` says that a parameter has them, and
    ``norm`` that queries and keys are normalised; ``bias`` is that of the scores. Parameters ``apart`` are of no concern;
    ``parts`` are parameters of which a map is a part; ``build`` makes a module with another number of heads.

    Raises:
        SubjectError: a role cannot be found, or a parameter beyond the four maps changes the result.
        Question: there are sinks, or gains of normalised queries, and nothing declares it.
    """
    computed = computed_maps(module, sizes)
    factors = switch_off(module)
    sources = {path for c in computed.values() for path in c.sources} | {*factors, *apart}
    parameters = parts.taken(dict(module.named_parameters(remove_duplicate=False)), sizes)
    # A parameter without numbers says on which device a module is.
    named = {path: p for path, p in parameters.items() if path not in sources and p.numel()}
    sink = named_sinks(named, sizes.head)
    gains = named_gains(named)
    declared = sizes.d_model if isinstance(bias, BiasTable) else 0
    table = named_table({path: p for path, p in named.items() if path not in gains}, sizes.head, declared)
    for path in (sink, table, *gains):
        named.pop(path, None)
    shapes = {path: tuple(p.shape) for path, p in named.items()} | {p: tuple(c.make().shape) for p, c in computed.items()}
    of_norms = parameters_of_norms(module)
    groups = group_heads({path: shape for path, shape in shapes.items() if path not in of_norms}, sizes)
    linear = weights_of_linears(module) | {path for path in computed if "#" in path}
    tags = tag(module, sizes, forward, inputs).of_parts(parts, sizes).without(computed)
    require_norms(module, {path: view for path, view in gains.items() if tags.moves(path)}, norm)
    require_table(table if table and tags.moves(table) else "", bias=bias, found=table)
    require_sinks(sink if sinks or (sink and tags.moves(sink)) else "", declared=sinks)
    candidates = Candidates(shapes, groups, linear, sizes, grouped, tags)
    roles = find_roles(candidates, parts)
    require_all_roles(candidates, roles.weights, (*roles.absent, *roles.tied))
    require_widths(candidates, roles.weights, roles.tied)
    maps = roles.weights | find_biases(candidates, roles.weights)
    found = Recipe(
        maps, roles.absent, computes=any(path in computed for path in maps), adds=bool(factors), tied=roles.tied,
        unsure=roles.unsure, sinks=sink if sinks else "", gains=gains if norm else {},
        table=TableParameter.of(table, module, sizes.head, build) if isinstance(bias, BiasTable) else TableParameter(),
        parts=parts,
    )  # fmt: skip
    require_nothing_else(candidates, maps, computed, found.describe())
    return found
