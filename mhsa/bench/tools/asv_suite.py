"""What asv is given: everything is measured in one process, once, and each of asv's benchmarks reads its figure.

asv starts a process for every combination of parameters. Those only look their figure up; torch is imported, and the
implementations are compared with the oracle and with each other, in the one that runs ``setup_cache``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mhsa.bench.measure.measurement import KNOWN, REFUSED, Contender, Measurement
from mhsa.bench.measure.run import run
from mhsa.bench.measure.worker import Plan
from mhsa.records.configuration import find, read
from mhsa.records.request import Request
from mhsa.records.shape import shape_of
from mhsa.run.process_limits import default_memory

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
    for device in devices:  # a process that has used CUDA does not measure the CPU
        plan = Plan(
            contenders=tuple(Contender.known(n) if n in KNOWN else Contender(n, requests[n]) for n in names),
            cells=tuple((shape_of(shape), dtype, device) for shape in shapes for dtype in dtypes),
            passes=tuple(passes),  # type: ignore[arg-type]
            budget=_budget(),
            memory=default_memory(),
            keeping=True,  # every commit has a process of its own
        )
        for m in run(plan).measurements:
            figures[m.implementation, m.passes, m.shape.name, m.dtype, m.device] = m.as_dict()
    return figures


def configured(folder: Path) -> dict[str, Request]:
    """Return the subjects of the nearest pyproject.toml with ``[tool.mhsa]``, by name."""
    return {request.label: request for request in read(find(folder)).requests}


class Suite:
    """What a class of benchmarks inherits from; every figure is one for which larger is worse.

    Attributes:
        requests: implementations that do not come with mhsa, by name.
        params: names of implementations, passes, shapes, dtypes and devices.
        version: to be raised by hand when figures are no longer comparable.
        timeout: seconds of ``setup_cache``, in which everything is measured.
    """

    requests: ClassVar[Mapping[str, Request]] = {}
    params: ClassVar[Wanted] = ([], [], [], [], [])
    param_names = ("implementation", "pass", "shape", "dtype", "device")
    version = "2"  # 1: processes gave the memory that they freed back to the kernel
    timeout = 7200.0

    def setup_cache(self) -> Figures:
        """Measure everything."""
        return measured(self.params, self.requests)

    def setup(self, figures: Figures, *params: str) -> None:
        """Look whether there is a figure."""
        require(figures, params)

    def track_ratio_to_baseline(self, figures: Figures, *params: str) -> float:
        """Time as a multiple of the baseline's: steadier than seconds, so look at it first."""
        return float(figures[params]["ratio"])

    def track_seconds(self, figures: Figures, *params: str) -> float:
        """Time of one call."""
        return float(figures[params]["seconds"])

    def track_peak_memory(self, figures: Figures, *params: str) -> float:
        """Most bytes beyond what was there before the call."""
        return _counter(figures[params], "peak")

    def track_allocated(self, figures: Figures, *params: str) -> float:
        """Bytes that the allocator gave out."""
        return _counter(figures[params], "allocated")

    def track_operators(self, figures: Figures, *params: str) -> float:
        """Calls of torch's operators."""
        return _counter(figures[params], "operators")

    def track_flops(self, figures: Figures, *params: str) -> float:
        """Floating point operations of matrix products and attention; a multiply-add is two."""
        return _counter(figures[params], "flops")

    def track_kernels(self, figures: Figures, *params: str) -> float:
        """Kernels that were launched on the GPU."""
        return _counter(figures[params], "kernels")

    # asv sorts by these names: what is to be looked at first comes first.
    track_ratio_to_baseline.pretty_name = "1 time / baseline"  # type: ignore[attr-defined]
    track_seconds.pretty_name = "2 seconds"  # type: ignore[attr-defined]
    track_peak_memory.pretty_name = "3 peak memory"  # type: ignore[attr-defined]
    track_operators.pretty_name = "4 operators"  # type: ignore[attr-defined]
    track_flops.pretty_name = "5 floating point operations"  # type: ignore[attr-defined]
    track_allocated.pretty_name = "6 bytes allocated"  # type: ignore[attr-defined]
    track_kernels.pretty_name = "7 kernels"  # type: ignore[attr-defined]
    track_ratio_to_baseline.unit = "ratio"  # type: ignore[attr-defined]
    track_seconds.unit = "seconds"  # type: ignore[attr-defined]
    track_peak_memory.unit = track_allocated.unit = "bytes"  # type: ignore[attr-defined]
    track_operators.unit = track_flops.unit = track_kernels.unit = "count"  # type: ignore[attr-defined]


def require(figures: Figures, params: tuple[str, ...]) -> None:
    """Raise what asv shows where there is no figure: NotImplementedError is n/a, anything else failed.

    Raises:
        NotImplementedError: it could not be measured, or was not selected.
        AssertionError: the result is wrong, or its time is not to be believed.
    """
    found = figures.get(params)
    if found is None:
        raise NotImplementedError("n/a: not asked for, or this commit has no such benchmark")
    m = Measurement.of_dict(found)
    if m.outcome in REFUSED:
        raise AssertionError(m.words)
    if m.outcome != "measured":
        raise NotImplementedError(m.words)


def _counter(figure: Mapping[str, Any], name: str) -> float:
    value = figure["counters"][name]
    return float("nan") if value is None else float(value)  # asv shows n/a


def _budget() -> float:
    text = os.environ.get(f"{_ASKED}BUDGET", "")
    try:
        return float(text or BUDGET)
    except ValueError:
        raise ValueError(f"{_ASKED}BUDGET is {text!r}; must be a number of seconds, such as {BUDGET}") from None


def _asked(what: str, every: Sequence[str]) -> list[str]:
    chosen = [name.strip() for name in os.environ.get(_ASKED + what, "").split(",") if name.strip()]
    unknown = [name for name in chosen if name not in every]
    if unknown:
        raise ValueError(f"{_ASKED}{what} names {', '.join(unknown)}; there are {', '.join(every)}")
    return [name for name in every if name in chosen] if chosen else list(every)
