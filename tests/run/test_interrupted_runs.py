"""A run that is stopped says so, keeps what it has found, and leaves nothing running."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.left_behind import left_behind, marked
from tests.helpers.repository import Repository

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked for in /proc")

SOON = 10.0  # seconds in which an interrupted run has ended
# Whoever starts us in the background has SIGINT ignored, which a program inherits.
COMMAND = (
    "import signal, sys; signal.signal(2, signal.default_int_handler); from mhsa.commands.cli import main; sys.exit(main())"
)
REPORTS = ("--json", "o.json", "--junit", "o.xml", "--html", "o.html")
SLEEPS = "import time\ntime.sleep(4321)\n"


class Running:
    """The command line, running in a folder of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments],
            cwd=folder,
            env=os.environ | {"TMPDIR": str(self.temporary), "MHSA_TEST": self.mark, "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, words: str, times: int = 1) -> None:
        """Wait until these are so often among the events of the process that judges, or measures."""
        until = time.monotonic() + 120.0
        while sum(file.read_text().count(words) for file in self.temporary.glob("mhsa-*/**/events.jsonl")) < times:
            assert time.monotonic() < until
            assert self.process.poll() is None
            time.sleep(0.05)

    def stop(self, number: signal.Signals) -> tuple[int, str, str]:
        """Send a signal; return the exit code and what was said."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=SOON)
        return self.process.returncode, out, err

    def left(self) -> list[str]:
        """Processes and folders that are still there."""
        return [*left_behind(self.mark).values(), *(p.name for p in self.temporary.glob("mhsa-*"))]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started = []

    def run(*arguments: str, command: str = "verify") -> Running:
        started.append(Running(tmp_path, command, *arguments))
        return started[-1]

    yield run
    for running in started:
        running.process.kill()
        running.process.communicate()
        for pid in marked(running.mark):  # where a test fails
            os.kill(pid, signal.SIGKILL)


def told(folder: Path) -> tuple[dict[str, Any], ET.Element, str]:
    """What the three reports say."""
    data = json.loads((folder / "o.json").read_text())
    return data, ET.fromstring((folder / "o.xml").read_bytes()), (folder / "o.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_it_has_found(number: signal.Signals, start: Callable[..., Running]) -> None:
    running = start("mhsa:MultiHeadAttention", "--profile", "ci", "--seed", "1", "--no-color", *REPORTS)
    running.wait_for('"worst_error_over_bound"', times=3)  # the first of them has been read by then
    code, out, err = running.stop(number)
    assert code == 2
    assert "mhsa: interrupted; the reports have the results until then and are marked as partial" in err
    assert "unjudged: interrupted after" in out
    assert "Traceback" not in out + err
    data, junit, page = told(running.folder)
    assert data["interrupted"] is True
    assert data["exit_code"] == 2
    (subject,) = data["subjects"]
    assert subject["verdict"] == "unjudged"
    assert subject["properties"]
    assert {p["outcome"] for p in subject["properties"]} <= {"pass", "not-applicable"}
    assert junit.find("testsuite/testcase[@name='interrupted']/error") is not None
    assert "The run was interrupted: this report is partial." in page
    assert running.left() == []


def test_an_interrupt_while_subjects_are_loaded_leaves_nothing_running(start: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "sleeps.py").write_text(SLEEPS)
    running = start("sleeps.py", "--no-color", *REPORTS)
    running.wait_for("SessionStart")
    time.sleep(1.0)
    code, out, err = running.stop(signal.SIGINT)
    assert code == 2
    assert "interrupted" in err
    assert "Traceback" not in out + err
    data, _, _ = told(running.folder)
    assert (data["interrupted"], data["subjects"][0]["verdict"]) == (True, "unjudged")
    assert running.left() == []


def test_an_interrupt_while_workers_judge_leaves_none_of_them_running(start: Callable[..., Running]) -> None:
    running = start("mhsa:MultiHeadAttention", "--profile", "thorough", "--seed", "1", "-n", "2", *REPORTS)
    running.wait_for('"mhsa-subject"')
    code, _, _ = running.stop(signal.SIGINT)
    assert code == 2
    assert told(running.folder)[0]["interrupted"] is True
    assert running.left() == []


def test_processes_end_with_a_run_that_is_killed(start: Callable[..., Running]) -> None:
    running = start("mhsa:MultiHeadAttention", "--profile", "thorough", "--seed", "1")
    running.wait_for('"mhsa-subject"')
    assert len(marked(running.mark)) == 2
    code, _, _ = running.stop(signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert left_behind(running.mark) == {}  # its folder stays, since no process is left to remove it


def test_a_process_whose_run_is_killed_before_it_can_know_ends_too(start: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "sleeps.py").write_text(SLEEPS)
    running = start("sleeps.py")
    until = time.monotonic() + 60.0
    while len(marked(running.mark)) < 2:  # it will take the other one a second or more until torch is imported
        assert time.monotonic() < until
    running.stop(signal.SIGKILL)
    assert left_behind(running.mark, 60.0) == {}


COMPARE = ("HEAD", "HEAD", "--no-verify", "--shape", "exercise", "--no-color", "--json", "o.json")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_comparison_that_is_stopped_leaves_no_process_and_no_commit(
    number: signal.Signals, start: Callable[..., Running], tmp_path: Path
) -> None:
    repository = Repository(tmp_path)
    earlier = tmp_path / "o.json"
    earlier.write_text("of an earlier run")
    running = start(*COMPARE, command="compare")
    running.wait_for('"pair"')
    code, out, err = running.stop(number)
    assert earlier.read_text() == "of an earlier run", "nothing was concluded, so nothing is overwritten"
    if number == signal.SIGKILL:
        assert code == -signal.SIGKILL
        assert left_behind(running.mark) == {}
        assert len(repository.worktrees()) == 1, "no process was left to remove it; the next run does"
        code = subprocess.run(
            [sys.executable, "-m", "mhsa", "compare", "HEAD", "-k", "nothing"],
            cwd=tmp_path, env=os.environ | {"TMPDIR": str(running.temporary)}, capture_output=True, check=False,
        ).returncode  # fmt: skip
        assert code == 2
    else:
        assert (code, out.strip()) == (2, "")
        assert err.splitlines()[-1] == "mhsa: interrupted; nothing was concluded"
        assert running.left() == []
    assert repository.worktrees() == []
