"""Attention under asv: time, its ratio to a floor, memory and counters of every implementation that is right.

asv imports this file from the working tree for every commit that it measures, so nothing here needs a certain version of
mhsa: a commit that lacks something is n/a. docs/benchmarks.md of mhsa says how to read the figures.
"""

from pathlib import Path

try:
    from mhsa.configuration import find, read

    REQUESTS = {request.label: request for request in read(find(Path(__file__).parent)).requests}
except ImportError:
    REQUESTS = {}

# MHSA_BENCH_SHAPES="exercise, wide" asv run: narrows a run down; so do IMPLEMENTATIONS, PASSES, DTYPES and DEVICES.
IMPLEMENTATIONS = [*REQUESTS, "reference", "fused", "torch", "torch+weights", "floor"]
PASSES = ["forward", "training"]
SHAPES = ["exercise", "encoder 128", "encoder 512", "long 2048", "long 4096", "long 8192", "many heads", "wide"]
DTYPES = ["float32", "bfloat16"]
DEVICES = ["cpu", "cuda"]


class Attention:
    """Every figure is one for which larger is worse. The ratio is steadier than the seconds: look at it first."""

    params = (IMPLEMENTATIONS, PASSES, SHAPES, DTYPES, DEVICES)
    param_names = ("implementation", "pass", "shape", "dtype", "device")
    version = "1"  # to be raised by hand when figures are no longer comparable
    timeout = 7200  # of setup_cache, in which everything is measured

    def setup_cache(self):
        try:
            from mhsa.bench.suite import measured
        except ImportError:
            return {}
        return measured(self.params, REQUESTS)

    def setup(self, figures, *params):
        try:
            from mhsa.bench.suite import require
        except ImportError:
            raise NotImplementedError("n/a: this commit has no benchmarks") from None
        require(figures, params)

    def track_ratio_to_floor(self, figures, *params):
        return figures[params]["ratio"]

    def track_seconds(self, figures, *params):
        return figures[params]["seconds"]

    def track_peak_memory(self, figures, *params):
        return counter(figures[params], "peak")

    def track_allocated(self, figures, *params):
        return counter(figures[params], "allocated")

    def track_operators(self, figures, *params):
        return counter(figures[params], "operators")

    def track_flops(self, figures, *params):
        return counter(figures[params], "flops")

    def track_kernels(self, figures, *params):
        return counter(figures[params], "kernels")

    track_ratio_to_floor.unit = "ratio"
    track_seconds.unit = "seconds"
    track_peak_memory.unit = track_allocated.unit = "bytes"
    track_operators.unit = track_flops.unit = track_kernels.unit = "count"


def counter(figures, name):
    value = figures["counters"][name]
    return float("nan") if value is None else value  # asv shows n/a
