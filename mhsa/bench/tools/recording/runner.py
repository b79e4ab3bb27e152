"""The process that runs a user's script and notes which attentions it calls; output and exit code are the script's."""

from __future__ import annotations

import json
import os
import runpy
import sys
from dataclasses import asdict
from pathlib import Path


def main(file: Path, words: list[str]) -> None:
    """Run ``script.py arguments`` or ``-m module arguments`` as Python would.

    Args:
        file: for what was observed.
        words: the script and its arguments.
    """
    from mhsa.bench.tools.recording.observed_calls import CallObserver

    observer, owner = CallObserver(), os.getpid()
    observer.install()
    try:
        if words[0] == "-m":
            sys.argv = words[1:]
            sys.path.insert(0, os.getcwd())
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = words
            sys.path.insert(0, str(Path(words[0]).resolve().parent))
            runpy.run_path(words[0], run_name="__main__")
    finally:
        observer.remove()
        if os.getpid() == owner:  # not a process that the script has forked
            calls = [[asdict(call), count] for call, count in observer.calls.most_common()]
            file.write_text(json.dumps({"calls": calls, "unclear": dict(observer.unclear)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
