"""Judge right implementations of crossed formulas: verdict, worst error/bound by dtype, quick's time against plain attention.

The time is that of the processors, of all processes of a run: other work on the machine matters less to it than to the clock.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.crossed.formulas import FIELDS
from benchmarks.crossed.kernels import KERNELS

HERE = Path(__file__).parent
# torch has no backward pass of flex_attention on a CPU.
FORWARDS = ("-k", "not gradient and not several_roles")


def spec(name: str) -> str:
    """Return what mhsa verify is given."""
    return f"{HERE / ('kernels.py' if name in KERNELS else 'formulas.py')}:{name}"


def judge(name: str, profile: str, dtypes: Sequence[str] = ()) -> tuple[dict[str, Any], float]:
    """Return the report of one run and its processor time in seconds."""
    more = [*(FORWARDS if name.startswith("Flex") else ()), *(word for dtype in dtypes for word in ("--dtype", dtype))]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "mhsa", "verify", spec(name), "--no-diagnosis", "--cases", folder, "--seed", "0"]
        subprocess.run([*command, "--profile", profile, "--json", str(report), *more], check=False, capture_output=True)
        subject = json.loads(report.read_text())["subjects"][0]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return subject, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def line(name: str, subject: dict[str, Any]) -> str:
    """Return the verdict in one line."""
    judged = [p for p in subject["properties"] if p["outcome"] != "not-applicable"]
    worst: dict[str, float] = {}
    for p in judged:
        for dtype, ratio in p["worst_by_dtype"].items():
            worst[dtype] = max(worst.get(dtype, 0.0), ratio)
    ratios = ", ".join(f"{dtype} {ratio:.2f}" for dtype, ratio in sorted(worst.items()))
    cases = sum(p["cases"] for p in judged)
    return f"{name:<38} {subject['verdict']:<8} {len(judged):>4} {cases:>7} {ratios}"


def times(names: list[str]) -> None:
    """Print the time of quick on each formula, relative to the mean of the reference's plain attention, measured in turns."""
    plain, found = [judge("plain", "quick")[1]], {}
    for number, name in enumerate(names, 1):
        found[name] = judge(name, "quick")[1]
        if number % 3 == 0 or number == len(names):
            plain.append(judge("plain", "quick")[1])
    mean = sum(plain) / len(plain)
    print(f"quick on plain attention: {', '.join(f'{s:.1f}' for s in plain)} s")
    for name, seconds in found.items():
        print(f"{name:<38} {seconds:>8.1f} s {seconds / mean:>6.2f} x plain")


def main() -> int:
    """Return 0 if all hold."""
    everything = [*FIELDS, *(f"fused_{name}" for name in FIELDS), *KERNELS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crossed", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which; default: all of {', '.join(everything)}")
    parser.add_argument("--profile", choices=("quick", "ci", "thorough"), default="ci")
    parser.add_argument("--dtype", action="append", default=[], help="as of mhsa verify; repeatable")
    parser.add_argument("--times", action="store_true", help="only measure how long quick takes")
    arguments = parser.parse_args()
    names = arguments.names or everything
    if arguments.times:
        times(names)
        return 0
    print(f"{arguments.profile:<38} {'verdict':<8} {'props':>5} {'cases':>6} worst error/bound")
    held = True
    for name in names:
        subject, _ = judge(name, arguments.profile, arguments.dtype)
        held &= subject["verdict"] == "holds"
        print(line(name, subject), flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
