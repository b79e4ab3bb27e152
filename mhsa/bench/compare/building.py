"""Building the subject of a benchmark as it is at one of two commits."""

from __future__ import annotations

from dataclasses import replace

from mhsa.bench.compare.benchmark import Benchmark
from mhsa.bench.git.isolated_imports import Side
from mhsa.bench.measure.cell import reason_of
from mhsa.bench.measure.implementation import Built, Loaded, NotMeasurable
from mhsa.bench.measure.measurement import Contender


def built_at(loaded: Loaded, benchmark: Benchmark, name: str, side: Side, folder: str) -> Built | str:
    """Return the subject, or why there is none.

    Args:
        loaded: what this process has loaded until now.
        benchmark: its conditions.
        name: of the side.
        side: in which that commit's modules are found.
        folder: that subjects are loaded from.
    """
    request = benchmark.request
    contender = Contender(request.label, replace(request, folder=folder))
    with side:
        try:
            subject = loaded(contender, request.device, name)
            if isinstance(subject, str):
                return subject
            sizes = subject.adapter.sizes
            shape = benchmark.shape if sizes is None else benchmark.shape.resized(*sizes)
            return loaded.build(contender, subject, (shape, benchmark.dtype, request.device), name)
        except NotMeasurable as error:
            return str(error)
        except Exception as error:
            return reason_of(error)
