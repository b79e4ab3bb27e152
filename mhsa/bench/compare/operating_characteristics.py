"""How often the gate is right: simulated runs, and the tables of docs/gate.md.

``python -m mhsa.bench.compare.operating_characteristics`` prints them.

The limits come from :func:`mhsa.bench.compare.sequential_test.reach_of`, as those of a real run do; only the loop over
processes is written
for many runs at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mhsa.bench.compare.sequential_test import ALARM, planned_looks, reach_of
from mhsa.bench.compare.settings import APART, APART_MOST, MOST, THRESHOLD

Numbers = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Numbers]

SLOWER, NOT_SLOWER, CANNOT_TELL = 1, -1, 0
_RUNS = 20_000  # of ten benchmarks: a false alarm in a hundred runs is then known to 0.07 in a hundred
_BLOCK = 20_000  # lists at once: their numbers stay within a core's cache


def _disturbed(random: np.random.Generator, size: tuple[int, int]) -> Numbers:
    """A tenth of the processes is disturbed and five times as uncertain; the others have a standard deviation of 1."""
    return random.standard_normal(size) * np.where(random.random(size) < 0.1, 5.0, 1.0)


def _two_modes(random: np.random.Generator, size: tuple[int, int]) -> Numbers:
    """A coin is tossed in each process, for example on where memory lies, and a tenth of that is added to it."""
    return random.choice([-1.0, 1.0], size) + 0.1 * random.standard_normal(size)


# Standard deviation 1, but for the disturbed processes and, by half a per cent, the two modes.
NOISES: Mapping[str, Draw] = {
    "normal": lambda random, size: random.standard_normal(size),
    "disturbed": _disturbed,
    "Laplace": lambda random, size: random.laplace(0.0, math.sqrt(0.5), size),
    "two modes": _two_modes,
}


@dataclass(frozen=True)
class Outcome:
    """The verdict on each benchmark of each run, and after how many processes it was given; both runs x benchmarks."""

    verdicts: NDArray[np.int64]
    processes: NDArray[np.int64]

    def share(self, verdict: int) -> float:
        """Return how many of the benchmarks have a verdict."""
        return float((self.verdicts == verdict).mean())

    @property
    def alarms(self) -> int:
        """Runs in which a benchmark is slower."""
        return int((self.verdicts == SLOWER).any(axis=1).sum())

    @property
    def length(self) -> float:
        """Processes of a run, on average: it goes on until its last benchmark is decided."""
        return float(self.processes.max(axis=1).mean())


def judge(
    log_ratios: Numbers, *, threshold: float, looks: Sequence[int], benchmarks: int, alpha: float = ALARM
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return verdicts on many lists at once, one list in each row, and after how many processes each was given."""
    verdicts = np.full(len(log_ratios), CANNOT_TELL)
    processes = np.full(len(log_ratios), looks[-1])
    for look in looks:
        left = np.flatnonzero(verdicts == CANNOT_TELL)
        seen = log_ratios[left, :look]
        mean, spread = seen.mean(axis=1), seen.std(axis=1, ddof=1)
        reach = reach_of(look, looks=looks, benchmarks=benchmarks, alpha=alpha)
        fine = mean + reach.up * spread < math.log1p(threshold)
        slow = (mean - reach.down * spread > 0) & ~fine & reach.may_call_slower
        verdicts[left[fine]], verdicts[left[slow]] = NOT_SLOWER, SLOWER
        processes[left[fine | slow]] = look
    return verdicts, processes


def simulate(
    noise: str, sd: float, *, slow_down: float = 0.0, threshold: float = THRESHOLD, looks: Sequence[int] = planned_looks(),
    benchmarks: int = 10, runs: int = _RUNS, seed: int = 0,
) -> Outcome:  # fmt: skip
    """Return what the gate says of runs whose benchmarks are all slower by ``slow_down``, with independent noise."""
    random = np.random.default_rng(seed)
    found = []
    for begin in range(0, runs * benchmarks, _BLOCK):
        lists = NOISES[noise](random, (min(_BLOCK, runs * benchmarks - begin), looks[-1]))
        ratios = math.log1p(slow_down) + sd * lists
        found.append(judge(ratios, threshold=threshold, looks=looks, benchmarks=benchmarks))
    verdicts, processes = (np.concatenate(parts).reshape(runs, benchmarks) for parts in zip(*found, strict=True))
    return Outcome(verdicts, processes)


def _row(noise: str, sd: float, benchmarks: int) -> str:
    same, slow = (simulate(noise, sd, slow_down=s, benchmarks=benchmarks) for s in (0.0, THRESHOLD))
    cells = [
        noise, f"{100 * sd:.1f} %", f"{benchmarks}", f"{100 * same.alarms / len(same.verdicts):.2f} %",
        f"{100 * same.share(NOT_SLOWER):.1f} %", f"{same.length:.1f}", f"{100 * slow.share(SLOWER):.1f} %",
        f"{100 * slow.share(NOT_SLOWER):.1f} %", f"{slow.processes.mean():.1f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the tables."""
    print("| noise | sd | benchmarks | run has a false alarm | not slower | processes | 3 %: slower | not slower | processes |")
    print("|---|---|---|---|---|---|---|---|---|")
    for noise in NOISES:
        for sd in (0.006, 0.012, 0.018, 0.3):
            print(_row(noise, sd, 10))
    print(_row("normal", 0.018, 1))
    print()
    print("| slower by | not slower / cannot tell / slower at an sd of 0.6 % | 1.8 % |")
    print("|---|---|---|")
    for slow_down in (-0.03, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.05):
        found = [simulate("normal", sd, slow_down=slow_down, runs=2000) for sd in (0.006, 0.018)]
        cells = [" / ".join(f"{100 * o.share(v):.1f}" for v in (NOT_SLOWER, CANNOT_TELL, SLOWER)) for o in found]
        print(f"| {100 * slow_down:g} % | {' | '.join(cells)} |")
    print()
    print("| most processes | looks | 3 % at an sd of 0.6 % | 1.2 % | 1.8 % |")
    print("|---|---|---|---|---|")
    for most in (6, 8, 10, 14, 20):
        looks = planned_looks(most=most)
        found = [simulate("normal", sd, slow_down=THRESHOLD, looks=looks, runs=2000) for sd in (0.006, 0.012, 0.018)]
        shares = " | ".join(f"{100 * outcome.share(SLOWER):.1f} %" for outcome in found)
        print(f"| {most} | {', '.join(map(str, looks))} | {shares} |")
    print()
    print("| apart: rounds | sd of a ratio to the baseline | benchmarks | 10 %: slower | not slower | run has a false alarm |")
    print("|---|---|---|---|---|---|")
    for benchmarks, most in ((1, APART_MOST), (10, APART_MOST), (10, MOST)):
        for sd in (0.02, 0.04, 0.06, 0.08):
            same, slow = (
                simulate(
                    "normal", sd * math.sqrt(2), slow_down=s, threshold=APART, looks=planned_looks(most=most),
                    benchmarks=benchmarks, runs=2000,
                )
                for s in (0.0, APART)
            )  # fmt: skip
            cells = [f"{100 * slow.share(v):.1f} %" for v in (SLOWER, NOT_SLOWER)]
            alarms = f"{100 * same.alarms / len(same.verdicts):.2f} %"
            print(f"| {most} | {100 * sd:g} % | {benchmarks} | {' | '.join(cells)} | {alarms} |")


if __name__ == "__main__":
    main()
