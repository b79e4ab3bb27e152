"""Mutation testing of what verdicts rest on: ``make mutation``; the scores and the survivors stand in docs/mutation.md.

mutmut changes the files that pyproject.toml names under [tool.mutmut], one place at a time, and runs the fast tests that
call the function with that change. What no test notices is a survivor. This runs it anew and prints the score of each file,
and the survivors that docs/mutation.md has no reason for; it exits with 1 where a file is below 95 % or
a survivor has no reason there. ``--results`` shows those of the last run.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "mutants"
PAGE = ROOT / "docs" / "mutation.md"
LEAST = 0.95  # of the mutants of each file
# What mutmut calls killed: a test failed (1), no test could be run with it (2, 3), a limit of time or a signal ended it.
_SURVIVED, _UNTESTED = 0, 33


def results(folder: Path = FOLDER) -> dict[str, dict[str, int | None]]:
    """Return the exit code of each mutant of each file; None of what has not run."""
    found = {}
    for meta in sorted(folder.rglob("*.py.meta")):
        codes = json.loads(meta.read_text())["exit_code_by_key"]
        if codes:
            found[meta.relative_to(folder).as_posix().removesuffix(".meta")] = codes
    return found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", action="store_true", help="show those of the last run, and run nothing")
    if not parser.parse_args(arguments).results:
        shutil.rmtree(FOLDER, ignore_errors=True)
        subprocess.run([str(Path(sys.executable).parent / "mutmut"), "run", "--max-children", "2"], cwd=ROOT, check=True)
    page = PAGE.read_text() if PAGE.exists() else ""
    explained = set(re.findall(r"`([\w.\u01c1]+__mutmut_\d+)`", page))
    code = 0
    for path, codes in results().items():
        alive = [name for name, ended in codes.items() if ended in (_SURVIVED, _UNTESTED, None)]
        score = 1 - len(alive) / len(codes)
        code |= score < LEAST
        print(f"{path}: {score:.1%} of {len(codes)} mutants are noticed")
        for name in alive:
            short = ".".join(name.split(".")[-2:])  # names of functions are those of several files
            code |= short not in explained
            print(f"    {'explained' if short in explained else 'not explained'}: {name}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
