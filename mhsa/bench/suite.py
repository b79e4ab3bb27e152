"""What asv is given: everything is measured in one process, once, and each of asv's benchmarks reads its figure.

asv starts a process for every combination of parameters. Those only look their figure up; torch is imported, and the
implementations are compared with the oracle and with each other, in the one that runs ``setup_cache``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from mhsa.bench.measurement import KNOWN, Contender, Measurement
from mhsa.bench.run import run
from mhsa.bench.shape import shape_of
from mhsa.bench.worker import Plan
from mhsa.limits import default_memory
from mhsa.request import Request

BUDGET = 0.3  # seconds of blocks for each figure: asv repeats nothing, and a commit is to take minutes
_ASKED = "MHSA_BENCH_"  # beginning of the variables that narrow a run down

Figures = dict[tuple[str, ...], dict[str, Any]]
Wanted = tuple[Sequence[str], Sequence[str], Sequence[str], Sequence[str], Sequence[str]]


def measured(params: Wanted, requests: Mapping[str, Request]) -> Figures:
    """Return a measurement for every combination of (implementation, pass, shape, dtype, device).

    Args:
        params: the names on each axis. ``MHSA_BENCH_SHAPES="exercise, wide"``, and so with IMPLEMENTATIONS, PASSES, DTYPES
            and DEVICES, narrows a run down; what is left out is n/a. ``MHSA_BENCH_BUDGET`` is seconds for each figure.
        requests: implementations that do not come with mhsa, by name.

    Raises:
        ValueError: a variable names what is not there.
    """
    names, passes, shapes, dtypes, devices = (
        _asked(what, every)
        for what, every in zip(("IMPLEMENTATIONS", "PASSES", "SHAPES", "DTYPES", "DEVICES"), params, strict=True)
    )
    figures: Figures = {}
    for device in devices:  # a process that has met CUDA is not asked for the CPU's figures
        plan = Plan(
            contenders=tuple(Contender.known(n) if n in KNOWN else Contender(n, requests[n]) for n in names),
            cells=tuple((shape_of(shape), dtype, device) for shape in shapes for dtype in dtypes),
            passes=tuple(passes),  # type: ignore[arg-type]
            budget=float(os.environ.get(f"{_ASKED}BUDGET", BUDGET)),
            memory=default_memory(),
        )
        for m in run(plan).measurements:
            figures[m.implementation, m.passes, m.shape.name, m.dtype, m.device] = m.as_dict()
    return figures


def require(figures: Figures, params: tuple[str, ...]) -> None:
    """Raise what asv shows where there is no figure: NotImplementedError is n/a, anything else failed.

    Raises:
        NotImplementedError: it could not be measured, or was not asked for.
        AssertionError: the result is wrong, so it was not timed.
    """
    found = figures.get(params)
    if found is None:
        raise NotImplementedError("n/a: not asked for, or this commit has no such benchmark")
    m = Measurement.of_dict(found)
    if m.outcome == "wrong":
        raise AssertionError(m.words)
    if m.outcome != "measured":
        raise NotImplementedError(m.words)


def _asked(what: str, every: Sequence[str]) -> list[str]:
    given = [name.strip() for name in os.environ.get(_ASKED + what, "").split(",") if name.strip()]
    unknown = [name for name in given if name not in every]
    if unknown:
        raise ValueError(f"{_ASKED}{what} names {', '.join(unknown)}; there are {', '.join(every)}")
    return [name for name in every if name in given] if given else list(every)
