"""The step at which a measuring process ended is the one that it announced last, however soon it ended after that."""

from __future__ import annotations

import sys
from pathlib import Path

from mhsa.bench.measure.worker_client import run_worker

DIES_AT_ONCE = """
import os
import sys
from pathlib import Path
from mhsa.bench.measure.worker_client import Reporter
reporter = Reporter(Path(sys.argv[1]))
reporter.calling("baseline", "checking")
reporter.calling("mine", "timing")
os.kill(os.getpid(), 9)
"""


def test_a_process_that_dies_at_once_was_in_the_step_that_it_announced_last(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []
    command = [sys.executable, "-c", DIES_AT_ONCE, str(tmp_path)]
    ended = run_worker(command, tmp_path, "{}", print, lambda what, name: seen.append((what, name)), 60)
    assert ended == "the process was killed by SIGKILL"
    assert seen[-1] == ("timing", "mine")
