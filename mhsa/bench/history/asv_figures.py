"""The figures of a measurement as asv knows them: the benchmarks of ``mhsa.bench.tools.asv_suite``, under the same names."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mhsa.bench.measure.measurement import REFUSED, Measurement
from mhsa.bench.tools.asv_suite import Suite

PREFIX = "attention.Attention."  # the file and the class in benchmarks/ that asv itself runs
# In the order in which asv shows them, the ratio first; the field of a measurement or of its counters that each is.
_FIELDS = {
    "track_ratio_to_baseline": "ratio",
    "track_seconds": "seconds",
    "track_peak_memory": "peak",
    "track_operators": "operators",
    "track_flops": "flops",
    "track_allocated": "allocated",
    "track_kernels": "kernels",
}
NAMES = tuple(PREFIX + name for name in _FIELDS)
NOT_ASKED = math.nan  # what asv shows as n/a

Key = tuple[str, str, str, str, str]


def key_of(m: Measurement) -> Key:
    """Return the parameters that a figure is kept under: implementation, pass, shape, dtype, device."""
    return (m.implementation, m.passes, m.shape.name, m.dtype, m.device)


def figure(name: str, m: Measurement) -> float | None:
    """Return one of the figures as asv wants it: None is failed (a wrong result, or a time not to be believed), NaN is n/a."""
    if m.outcome in REFUSED:
        return None
    field = _FIELDS[name.removeprefix(PREFIX)]
    value = getattr(m, field) if hasattr(m, field) else getattr(m.counters, field)
    return NOT_ASKED if m.outcome != "measured" or value is None else float(value)


def union(axes: Sequence[Sequence[str]], keys: Iterable[Sequence[str]]) -> list[list[str]]:
    """Return each axis with the values that keys have there, behind those it has."""
    every = list(keys)
    return [list(dict.fromkeys([*axis, *(key[n] for key in every)])) for n, axis in enumerate(axes)]


def spread(values: Mapping[tuple[str, ...], Any], axes: Sequence[Sequence[str]], missing: Any) -> list[Any]:
    """Return the values as asv has them: one for each combination of parameters, the last axis fastest."""
    return [values.get(key, missing) for key in itertools.product(*axes)]


def as_params(key: Key) -> tuple[str, ...]:
    """Return a key as asv writes parameters."""
    return tuple(repr(part) for part in key)


def merged(benchmarks: Mapping[str, Any], keys: Sequence[Key]) -> dict[str, Any]:
    """Return the contents of ``benchmarks.json`` with ours in it, ours first: asv's page shows them in this order."""
    ours = {name: _described(name, benchmarks.get(name) or {}, keys) for name in NAMES}
    return ours | {name: other for name, other in benchmarks.items() if name not in ours}


def _described(name: str, there: Mapping[str, Any], keys: Sequence[Key]) -> dict[str, Any]:
    track = vars(Suite)[name.removeprefix(PREFIX)]
    fits = there.get("param_names") == list(Suite.param_names) and len(there.get("params", ())) == len(Suite.param_names)
    axes = there["params"] if fits else [[] for _ in Suite.param_names]
    return {
        "code": f"{track.__doc__}", "timeout": Suite.timeout, **there,
        "name": name, "params": union(axes, map(as_params, keys)), "param_names": list(Suite.param_names), "type": "track",
        "unit": track.unit, "pretty_name": track.pretty_name, "version": Suite.version,
    }  # fmt: skip
