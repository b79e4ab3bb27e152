"""Attention under asv: time, its ratio to a baseline, memory and counters of every implementation that is right.

asv imports this file from the working tree for every commit that it measures, so nothing here needs a certain version of
mhsa: a commit that lacks the benchmarks is n/a. docs/benchmarks.md says how to read the figures.
"""

try:
    from mhsa.asv import Suite
except ImportError:
    try:
        from mhsa.bench.suite import Suite  # commits before mhsa.asv
    except ImportError:

        class Suite:
            def setup_cache(self):
                return {}

            def setup(self, *_):
                raise NotImplementedError("n/a: this commit has no benchmarks")

            def track_seconds(self, *_):
                pass

            track_ratio_to_baseline = track_peak_memory = track_allocated = track_seconds
            track_operators = track_flops = track_kernels = track_seconds


# MHSA_BENCH_SHAPES="exercise, wide" asv run: narrows a run down; so do IMPLEMENTATIONS, PASSES, DTYPES and DEVICES.
class Attention(Suite):
    params = (
        ["reference", "fused", "torch", "torch+weights", "baseline"],
        ["forward", "training"],
        ["exercise", "encoder 128", "encoder 512", "long 2048", "long 4096", "long 8192", "many heads", "wide"],
        ["float32", "bfloat16"],
        ["cpu", "cuda"],
    )
