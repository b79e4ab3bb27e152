"""How to read each parameter of a module class, whatever the sizes of the module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mhsa.introspect.projections.bias_tables import TableParameter
from mhsa.introspect.projections.computed import Computed, computed_tensors
from mhsa.introspect.projections.head_index import natural, with_head_index
from mhsa.introspect.projections.low_rank import switch_off
from mhsa.introspect.projections.parts import WHOLE, Parts
from mhsa.introspect.projections.role_names import ROLES
from mhsa.introspect.projections.shared_by_heads import within_heads
from mhsa.introspect.projections.tied import share
from mhsa.records.errors import SubjectError
from mhsa.subject.computed_views import ComputedView, identity
from mhsa.subject.parameter_layout import AxisReading, Sizes
from mhsa.subject.projection_views import Projections, Role, View


def computed_maps(module: nn.Module, sizes: Sizes) -> dict[str, Computed]:
    """Return what is computed from parameters and may be one of the four maps, by the path that its name is read from."""
    return dict(computed_tensors(module)) | dict(within_heads(module, sizes))


@dataclass(frozen=True)
class Recipe:
    """How to read each parameter of a module class; keys are parameter paths, with ``#`` for the index of a head.

    Attributes:
        readings: of parameters, and of what is computed from them where ``computes``.
        absent: maps that the module does not have, so that they are identities.
        computes: whether some map is computed.
        tied: roles that have the map of another one, by it.
        unsure: what was taken for granted though no name says it, in words; it counts only with an exact fit.
        sinks: path of the parameter with a logit of each head that takes part in the softmax; empty where there is none.
        gains: paths of the gains and shifts of normalised queries and keys, each with its name as a view.
        table: the parameter with a bias of each head and bucket of distances.
        parts: parameters of which a map is a part.
        adds: whether there are low-rank additions, which are switched off in every module that is bound.
    """

    readings: dict[str, AxisReading] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    computes: bool = False
    adds: bool = False
    tied: dict[str, str] = field(default_factory=dict)
    unsure: str = ""
    sinks: str = ""
    gains: dict[str, str] = field(default_factory=dict)
    table: TableParameter = TableParameter()  # noqa: RUF009  # it is frozen
    parts: Parts = WHOLE

    def bind(self, module: nn.Module, sizes: Sizes) -> Projections:
        """Views into this module, which may have other sizes than the one that the recipe was found on."""
        if self.adds:
            switch_off(module)
        # Under all their names: a layer that is registered twice plays two roles, which a property will object to.
        whole = dict(module.named_parameters(remove_duplicate=False))
        parameters = self.parts.taken(whole, sizes)
        computed = computed_maps(module, sizes) if self.computes else {}
        sources = {path: parameters.pop(path) for c in computed.values() for path in c.sources if path in parameters}
        found: dict[tuple[str, bool], list[Tensor]] = {}
        made: dict[tuple[str, bool], list[tuple[Computed, AxisReading]]] = {}
        for path in sorted([*parameters, *computed], key=natural):
            reading = self._reading(path)
            for role in reading.roles if reading else ():
                assert reading is not None
                if path in computed:
                    made.setdefault((role, reading.bias), []).append((computed[path], reading))
                else:
                    pieces = reading.pieces(reading.of_tokens(parameters[path], sizes), role, sizes)
                    found.setdefault((role, reading.bias), []).extend(pieces)
        roles: dict[str, Role] = {}
        for role in ROLES:
            views: list[View | None] = []
            for bias in (False, True):
                dim = 1 if role == "out" and not bias else 0
                if (role, bias) in made:
                    views.append(_computed(made[role, bias], role, sizes, dim))
                else:
                    views.append(View(tuple(found[role, bias]), dim=dim) if (role, bias) in found else None)
            if views[0] is None and (role in self.absent or self._is_identity(module, role)):
                views[0] = identity(sizes.d_model)
            if views[0] is None and role in self.tied:
                continue
            if views[0] is None:
                built = f"head={sizes.head}, d_model={sizes.d_model}"
                raise SubjectError(f"with {built} the module has no {role} projection, and in other sizes it has one")
            roles[role] = Role(views[0], views[1])
        roles |= {role: roles[of] for role, of in self.tied.items()}
        sinks = View((parameters[self.sinks].view(-1),)) if self.sinks else None
        table = View((self.table.by_buckets(parameters[self.table.path]),)) if self.table.path else None
        extra = tuple((path, View((p if p.dim() else p.view(1),))) for path, p in sources.items())
        extra += tuple((path, View((part,))) for path, part in self.parts.of_the_query(whole, sizes).items())
        found_maps = Projections(**roles, **self._norms(parameters), sources=extra, sinks=sinks, table=table)
        return share(found_maps, self.tied) if self.tied else found_maps

    def _norms(self, parameters: dict[str, Tensor]) -> dict[str, Role]:
        """Return gain and shift of queries and of keys, as far as there are some."""
        views = {name: View((parameters[path].view(-1),)) for path, name in self.gains.items()}
        roles = ("query_norm", "key_norm")
        return {r: Role(views[f"{r}.weight"], views.get(f"{r}.bias")) for r in roles if f"{r}.weight" in views}

    def _is_identity(self, module: nn.Module, role: str) -> bool:
        """Whether an ``nn.Identity`` or None stands where other sizes have a map: one head as wide as the module needs none."""
        parts = dict(module.named_modules())
        paths = [path.rpartition(".")[0] for path, reading in self.readings.items() if role in reading.roles]
        for path in paths:
            owner, _, name = path.rpartition(".")
            if owner in parts and getattr(parts[owner], name, self) is None:
                return True
            while path and path not in parts:
                path = path.rpartition(".")[0]
            if path and isinstance(parts[path], nn.Identity):
                return True
        return False

    def _reading(self, path: str) -> AxisReading | None:
        if path in self.readings:
            return self.readings[path]
        return next((self.readings[p] for p in with_head_index(path) if p in self.readings), None)

    def describe(self) -> str:
        """Return one phrase per role: where its parameters were found and, where it is not plain, how they are read."""
        parts = []
        for path, reading in self.readings.items():
            if reading.bias:
                continue
            how = "" if reading.labels in (("hd", "in"), ("out", "hd")) else f" as {reading.words}"
            parts.append(f"{', '.join(reading.roles)} from {path}{how}")
        if self.tied:
            parts += [f"{role} from the map of {of}, which they share" for role, of in self.tied.items()]
        if self.absent:
            parts.append(f"no {', '.join(self.absent)} projection: what it would be given is taken as it is")
        if self.sinks:
            parts.append(f"sinks from {self.sinks}")
        if self.table.path:
            parts.append(f"biases of distances from {self.table.path}")
        if self.gains:
            parts.append(f"gains of queries and keys from {', '.join(self.gains)}")
        if self.adds:
            parts.append("low-rank additions are left at zero")
        return "; ".join(parts)

    @property
    def not_judged(self) -> tuple[str, ...]:
        """What of the module's parameters no property tries, in words."""
        return ("low-rank additions to its projections",) if self.adds else ()


def _computed(parts: list[tuple[Computed, AxisReading]], role: str, sizes: Sizes, dim: int) -> ComputedView:
    """Return the view of a role whose matrix is computed, in one part or in one for each head."""

    def make() -> Tensor:
        pieces = [piece for c, reading in parts for piece in reading.pieces(c.make(), role, sizes)]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim)

    put: Callable[[Tensor], bool] = lambda values: False  # noqa: E731
    first, reading = parts[0]
    if len(parts) == 1 and reading.labels in (("hd", "in"), ("out", "hd"), ("hd",), ("out",)):
        put = first.put
    return ComputedView(dim=dim, make=make, fixed=first.fixed, put=put)
