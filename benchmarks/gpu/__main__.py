"""Measure on a GPU what docs/gpu.md states, and write it there: ``make gpu``.

Each step keeps its results in build/gpu, in a folder for the commit; what is there already is not measured again, so a run
that was interrupted goes on. ``--device cpu`` tries the commands where there is no GPU: the results are printed only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.gpu.page import part, replaced
from benchmarks.gpu.steps import Step, steps

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "gpu.md"
_SAID = 400  # characters of what a step that failed has said


def main() -> int:
    """Return 0 if every step was measured, 1 if one was not, 2 without a GPU."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda (default), or cpu to try the commands")
    parser.add_argument("--only", metavar="NAME", help="run this step alone")
    arguments = parser.parse_args()
    on_gpu = arguments.device != "cpu"
    if on_gpu and not _has_gpu():
        print("make gpu: torch finds no GPU here, so nothing was measured; --device cpu tries the commands", file=sys.stderr)
        return 2
    known = {step.name: step for step in steps(arguments.device)}
    if arguments.only and arguments.only not in known:
        print(f"make gpu: there is no step {arguments.only!r}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    folder = ROOT / "build" / "gpu" / f"{_commit()}-{arguments.device}"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [known[arguments.only]] if arguments.only else list(known.values())
    done = [_measure(step, folder) for step in wanted]
    written = part(list(known.values()), folder)
    if on_gpu:
        PAGE.write_text(replaced(PAGE.read_text(), written))
        print(f"written to {PAGE.relative_to(ROOT)}")
    else:
        print(written)
    return 0 if all(done) else 1


def _measure(step: Step, folder: Path) -> bool:
    """Run a step, unless its results are there; return whether they are."""
    if step.is_measured(folder):
        print(f"{step.words}: measured before", flush=True)
        return True
    print(f"{step.words} (at most {step.seconds} s) ...", end=" ", flush=True)
    began = time.monotonic()
    try:
        run = subprocess.run(step.run(folder), cwd=ROOT, capture_output=True, text=True, timeout=step.seconds, check=False)
    except subprocess.TimeoutExpired:
        print("took too long, and was ended")
        return False
    if not step.json and run.returncode == 0:
        step.file(folder).write_text(run.stdout)
    there = step.is_measured(folder)
    print(f"{time.monotonic() - began:.0f} s" if there else f"failed: {(run.stderr or run.stdout)[-_SAID:]}", flush=True)
    return there


def _commit() -> str:
    """Return what names the code that is measured: the commit, and whether files differ from it."""
    commit = _git("rev-parse", "--short", "HEAD") or "no-commit"
    return f"{commit}-changed" if _git("status", "--porcelain", "--untracked-files=no") else commit


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    sys.exit(main())
