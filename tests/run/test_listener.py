"""One listener to every child process: lines as they come, the time that they take, and how a process ended."""

import sys
import time
from pathlib import Path

import pytest

from mhsa.bench.measure.worker_client import run_worker
from mhsa.run.listener import how_it_ended, listen

WRITES = "import sys, time; file = open(sys.argv[1], 'a', buffering=1); file.write('one\\ntwo\\nthr'); file.write('ee\\n'); "


def command(code: str, events: Path) -> list[str]:
    return [sys.executable, "-c", WRITES + code, str(events)]


def test_every_line_is_heard_and_the_last_output_returned(tmp_path: Path) -> None:
    heard: list[str] = []
    events = tmp_path / "events"
    code, output = listen(
        command("print('done'); sys.exit(3)", events), tmp_path, events, lambda line: not heard.append(line), lambda: False
    )
    assert (heard, code, output.strip()) == (["one", "two", "three"], 3, "done")


@pytest.mark.parametrize("stopped_by", ["a line", "time"])
def test_a_process_that_is_not_to_go_on_is_ended(tmp_path: Path, stopped_by: str) -> None:
    heard: list[str] = []
    events = tmp_path / "events"

    def hear(line: str) -> bool:
        heard.append(line)
        return stopped_by == "time" or line != "two"

    begin = time.monotonic()
    code, _ = listen(command("time.sleep(600)", events), tmp_path, events, hear, lambda: len(heard) == 3)
    assert code == -9
    assert time.monotonic() - begin < 60.0
    assert heard == ["one", "two", "three"][: 2 if stopped_by == "a line" else 3]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "the process ended with exit code 0"),
        (-11, "the process was killed by SIGSEGV"),
        (-250, "the process was killed by signal 250"),
    ],
)
def test_how_a_process_ended(code: int, words: str) -> None:
    assert how_it_ended(code) == words


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("file.write('{\"end\": true}\\n'); time.sleep(600)", ""),
        ("print('no memory'); sys.exit(3)", "the process ended with exit code 3 (no memory)"),
        ("import os; os.kill(os.getpid(), 11)", "the process was killed by SIGSEGV"),
        (
            "open(sys.argv[2], 'w').write('timing\\tmine'); time.sleep(600)",
            "did not end within 1 s, so it was ended (--timeout)",
        ),
    ],
)
def test_why_a_worker_did_not_come_to_its_end(tmp_path: Path, end: str, reason: str) -> None:
    heard: list[dict] = []
    seen: set[tuple[str, str]] = set()
    start = "import sys, time; file = open(sys.argv[1], 'a', buffering=1); file.write('{\"cell\": 1}\\n'); "
    argv = [sys.executable, "-c", start + end, str(tmp_path / "events.jsonl"), str(tmp_path / "now")]
    assert run_worker(argv, tmp_path, "{}", heard.append, lambda what, name: seen.add((what, name)), 1.0) == reason
    assert heard[0] == {"cell": 1}
    assert seen == ({("timing", "mine")} if "timing" in end else set())
