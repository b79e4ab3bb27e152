"""How soon a wrong module is told so: `python benchmarks/first_failure.py tests/corpus/{wrong,census,foreign}/*.py`.

Each file is verified alone in the quick profile. Printed: seconds from the start to the first failure, made smaller and
reported, imports included; and the same from the first property on.
"""

from __future__ import annotations

import statistics
import sys
import time

from mhsa.records.request import Request
from mhsa.run.runner import Event, Options, run


def measure(name: str) -> tuple[float, float] | None:
    """Seconds to the first failure from the start, and from the first property on; None if nothing fails."""
    started = time.monotonic()
    times: dict[str, float] = {}

    def listen(event: Event) -> None:
        failed = event.result is not None and event.result.outcome == "fail"
        times.setdefault("failed" if failed else event.kind, time.monotonic() - started)

    run(Options((Request.of(name),), exit_first=True), listen)
    return (times["failed"], times["failed"] - times["running"]) if "failed" in times else None


def main(names: list[str]) -> int:
    """Measure every file and print the distribution; 1 if some file has no failure."""
    found = {name: measure(name) for name in names}
    for title, column in (("from the start", 0), ("after imports", 1)):
        seconds = sorted(times[column] for times in found.values() if times is not None)
        tenth = seconds[min(9 * len(seconds) // 10, len(seconds) - 1)]
        median = statistics.median(seconds)
        print(f"{title:<15} median {median:5.2f} s   nine in ten within {tenth:5.2f} s   longest {seconds[-1]:5.2f} s")
    print(f"{len(found)} modules; the slowest:")
    slowest = sorted((name for name, times in found.items() if times is not None), key=lambda name: -found[name][1])[:5]
    for name in slowest:
        print(f"  {found[name][1]:5.2f} s after imports  {name}")
    silent = [name for name, times in found.items() if times is None]
    for name in silent:
        print(f"  no failure in {name}")
    return int(bool(silent))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
