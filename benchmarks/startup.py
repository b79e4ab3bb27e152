"""What mhsa costs where it is only installed: `python benchmarks/startup.py`.

Measured in fresh processes, in turns: `import mhsa` against Python doing nothing, and an ordinary pytest run of an empty test
with the plugin against one without. Other people's plugins are left out, since one that imports torch hides everything.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 30.0  # milliseconds that neither may cost
HEAVY = ("torch", "numpy", "hypothesis", "rich")
ANNOUNCE = f"import sys; print('imported:', *(name for name in {HEAVY} if name in sys.modules))"
TEST = f"def test_nothing():\n    {ANNOUNCE}\n"


def commands(folder: Path) -> dict[str, tuple[list[str], list[str]]]:
    """For each thing that is measured: the command without mhsa, and with it."""
    pytest = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", str(folder / "test_nothing.py")]
    return {
        "import mhsa": ([sys.executable, "-c", ANNOUNCE], [sys.executable, "-c", f"import mhsa; {ANNOUNCE}"]),
        "the plugin in pytest": (pytest, [*pytest, "-p", "mhsa.judge.plugin"]),
    }


def measure(command: list[str], folder: Path) -> tuple[float, list[str]]:
    """Milliseconds of one process, and what it has imported that is heavy."""
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    spent = 1000.0 * (time.perf_counter() - started)
    (line,) = [line for line in done.stdout.splitlines() if "imported:" in line]
    return spent, line.partition("imported:")[2].split()


def main(arguments: list[str]) -> int:
    """Measure and print; 1 if something costs too much or something heavy is imported."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="processes of each kind (default: 15)")
    rounds = parser.parse_args(arguments).rounds
    bad = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_nothing.py").write_text(TEST)
        for title, pair in commands(folder).items():
            for command in pair:  # compiled files and the disk's cache are there from now on
                measure(command, folder)
            turns = [[measure(command, folder) for command in pair] for _ in range(rounds)]
            without, with_it = (statistics.median(turn[n][0] for turn in turns) for n in (0, 1))
            cost = statistics.median(turn[1][0] - turn[0][0] for turn in turns)
            heavy = sorted({module for turn in turns for module in turn[1][1]})
            bad |= cost >= LIMIT or bool(heavy)
            times = f"without {without:6.1f} ms   with {with_it:6.1f} ms   cost {cost:5.1f} ms (limit {LIMIT:g})"
            print(f"{title:<22} {times}   heavy imports: {', '.join(heavy) or 'none'}")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
