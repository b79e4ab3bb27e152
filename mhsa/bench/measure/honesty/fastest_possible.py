"""A time that is below what the machine can do is not a time of the computation."""

from __future__ import annotations

import torch

from mhsa.bench.measure.captured.own_tools import gpu_synchronize, now
from mhsa.bench.measure.implementation import Built
from mhsa.bench.measure.measurement import Pass

SHARE = 0.6  # of the baseline's time, or of what products alone take: no module that is known to be right is below
_WIDTH = 512  # of the products by which the machine's peak is measured
_TIMES = 9


def products(built: Built) -> float:
    """Return the multiply-adds of a forward pass: of the four maps as the subject has them, and of scores and values."""
    trial, shape = built.trial, built.shape
    p = trial.projections
    maps = sum(m.weight.size for m in (p.query, p.key, p.value, p.out))
    tokens = shape.batch * shape.length
    return float(tokens * maps + tokens * shape.length * (trial.inner + trial.d_v * trial.case.head))


def of_the_baseline(built: Built) -> float:
    """Return how many of the baseline's multiply-adds a subject has, at most 1: its maps may be narrower."""
    shape = built.shape
    tokens = shape.batch * shape.length
    whole = tokens * 4 * shape.d_model**2 + 2 * tokens * shape.length * shape.d_model
    return min(1.0, products(built) / whole)


def too_fast(built: Built, passes: Pass, seconds: float, ratio: float, high: float) -> str:
    """Return in words why a time is none; empty if it may be one, or the subject is declared.

    Args:
        built: the contender.
        passes: that were timed.
        seconds: of a call.
        ratio: of that to the baseline's.
        high: upper end of the ratio's interval.
    """
    if built.contender.request.faster or high >= 1.0:
        return ""
    least = SHARE * of_the_baseline(built)
    declare = 'if there is a reason, declare it: faster = "..." in its table, or --faster'
    if high < least:
        return f"it takes {ratio:.2f} x the baseline's time; nothing right is known to take less than {least:.2f} x ({declare})"
    made = (3 if passes == "training" else 1) * products(built)
    # The machine may have been busy when its peak was measured: what the baseline reaches, it can do.
    fastest = max(peak(built.x.dtype, built.trial.subject.device), made / of_the_baseline(built) * ratio / seconds)
    if seconds * high / ratio < SHARE * made / fastest:
        return f"it takes less than {SHARE:.2f} x the time that its products alone take at this machine's peak ({declare})"
    return ""


_peaks: dict[tuple[torch.dtype, str], float] = {}


def peak(dtype: torch.dtype, device: str) -> float:
    """Return the multiply-adds in a second of the fastest of some matrix products, measured once."""
    if (dtype, device) not in _peaks:
        a, b, c = (torch.ones(_WIDTH, _WIDTH, dtype=dtype, device=device) for _ in range(3))
        fastest = float("inf")
        on_gpu = torch.device(device).type == "cuda"
        with torch.no_grad():
            for _ in range(_TIMES):
                begin = now()
                torch.mm(a, b, out=c)
                if on_gpu:
                    gpu_synchronize(device)
                fastest = min(fastest, now() - begin)
        _peaks[dtype, device] = _WIDTH**3 / fastest
    return _peaks[dtype, device]
