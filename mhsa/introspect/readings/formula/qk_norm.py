"""How a module normalises queries and keys: its epsilon under a declared qk_norm, and what to try where nothing is declared."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import nn

from mhsa.introspect.projections.norm_gains import kind_of_norm, norm_parts
from mhsa.introspect.readings.formula.source_words import source_speaks_of
from mhsa.introspect.source_constants import constants
from mhsa.oracle.formula.fields import QkNorm, qk_norm_of
from mhsa.records.names import is_called
from mhsa.records.understood import Understood
from mhsa.subject.adapters.adapter import Adapter

_WORDS = re.compile(
    r"q_?k?_?norm|norm_?q|norm_?k|queries?_?(layer_?)?norm|normali[sz]e\(|rms_?norm|rsqrt|layer_?norm", re.IGNORECASE
)
_EPS = {"eps", "epsilon", "variance_epsilon", "norm_eps", "rms_norm_eps", "layer_norm_eps", "qk_norm_eps"}
_MOST = 4  # numbers of a source that are tried: each costs a second
_LARGEST = 1e-2  # of a number in the source that is taken for an epsilon


def seems_normed(adapter: Adapter) -> bool:
    """Whether names in the source of a module's class speak of a normalisation, which nothing declares."""
    return adapter.contract.qk_norm is None and source_speaks_of(adapter, _WORDS)


def norms_to_try(target: Any, module: nn.Module | None) -> Iterator[QkNorm]:
    """Yield what to try, the most usual first.

    Of one kind alone where parts of the module are called so; where they are not, with each number of the source that may be an
    epsilon, too.
    """
    named = module is not None and any(True for _ in norm_parts(module))
    kinds = (kind_of_norm(module),) if named and module is not None else ("rms", "l2", "layer")
    for over in ("head", "all") if named else ("head",):
        for kind in kinds:
            yield QkNorm(kind, over=over)  # type: ignore[arg-type]
    for eps in () if named else epsilons_to_try(target, module):
        yield QkNorm("rms", eps)
        yield QkNorm("layer", eps)


def epsilons_to_try(target: Any, module: nn.Module | None) -> list[float]:
    """Return the numbers of the source that may be an epsilon, where there are several; a single one is taken anyway."""
    small = [] if module is None else _small(target, module)
    return small[:_MOST] if len(small) > 1 else []


def with_epsilon(adapter: Adapter, target: Any, module: nn.Module) -> tuple[Adapter, Understood | None]:
    """Return the adapter with the epsilon of a declared normalisation in its contract, and a line on where it was found.

    That of the part that is called a norm of queries; or else an attribute of the module, or the one number in its source that
    can be one; or else the usual one, which the oracle knows. None where it is declared, or nothing is normalised.
    """
    norm = qk_norm_of(adapter.contract.qk_norm)
    if norm is None or norm.eps is not None:
        return adapter, None
    eps, where = _found(target, module)
    if eps is None:
        return adapter, None
    adapter = copy.copy(adapter)  # it may be the user's own object
    adapter.contract = replace(adapter.contract, qk_norm=replace(norm, eps=eps))
    words = "that of the dtype" if eps == "dtype" else f"{eps:g}"
    return adapter, Understood("epsilon", f"of normalised queries and keys: {words}, from {where}", "named")


def _found(target: Any, module: nn.Module) -> tuple[Any, str]:
    for _, path, part in norm_parts(module):
        if type(part) is nn.RMSNorm and part.eps is None:
            return "dtype", f"{path}.eps"
        for name, value in vars(part).items():
            if is_called(name, _EPS) and type(value) in (int, float) and 0.0 <= value < 1.0:
                return float(value), f"{path}.{name}"
    for name, value in vars(module).items():
        if is_called(name, _EPS) and type(value) in (int, float) and 0.0 <= value < 1.0:
            return float(value), name
    small = _small(target, module)
    return (small[0], "the source") if len(small) == 1 else (None, "")


def _small(target: Any, module: nn.Module) -> list[float]:
    return [c for c in constants(target, module) if isinstance(c, float) and 0.0 < c <= _LARGEST]
