"""Broken and hostile subjects: none of them is ever said to hold, and none takes the run, the reports or the machine along."""

import json
import os
import subprocess
import sys
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mhsa.records.catalogue import catalogue
from tests.helpers.left_behind import left_behind
from tests.helpers.places import CORPUS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is left behind is looked for in /proc")

HOSTILE = CORPUS / "hostile"
ONE, THREE = ("output_without_mask",), ("output_without_mask", "nothing_around", "dtype_and")
HASTE = ("--timeout", "1")
LIMIT = 120  # seconds for a whole run: it takes 3 to 30
# The command line, which loses its patience sooner with processes that do not get through their imports, or do not end.
IMPATIENT = "import sys, mhsa.run.child as c; c.LOADING = c._ENDING = 2.0; from mhsa.commands.cli import main; sys.exit(main())"
ENDLESS = {"hangs_at_the_end", "leaves_a_thread_that_stays", "loops_at_import"}

# What ends its process, or has to be ended with it, is judged alone: exit code, words of the cause, properties, options.
ALONE: dict[str, tuple[int, str, tuple[str, ...], tuple[str, ...]]] = {
    "allocates": (1, "can't allocate memory", ONE, ()),
    "closes_every_file": (1, "the process ended with exit code 1 in a call", ONE, ()),
    "deletes_reports": (1, "raised ValueError: and is wrong, too", ONE, ()),
    "dies_of_an_odd_signal": (1, "the process was killed by signal 40 in a call", ONE, ()),
    "exits_at_the_end": (1, "raised ValueError: and is wrong, too", ONE, ()),
    "exits_in_a_call": (1, "the process ended with exit code 0 in a call", ONE, ()),
    "forks": (1, "a call forked this process", THREE, ()),
    "hangs_at_the_end": (2, "all properties finished, but the process did not exit within 2 s", ONE, ()),
    "kills_its_group": (1, "the process was killed by SIGKILL in a call", ONE, ()),
    "leaves_a_thread_that_stays": (1, "left the thread Thread-1 (sleep) running", THREE, ()),
    "loops": (2, "a call did not end within 1 s, so it was ended (--timeout)", ONE, HASTE),
    "loops_at_import": (2, "did not end within 3 s, so it was ended (--timeout) while subjects were loaded", ONE, HASTE),
    "segfaults": (1, f"killed by SIGSEGV in a call (in mischief, {HOSTILE / 'segfaults.py'}, line 9)", ONE, ()),
    "starts_a_daemon": (1, "raised ValueError: and is wrong, too", ONE, ()),
    "stops_itself": (2, "a call did not end within 1 s, so it was ended (--timeout)", ONE, HASTE),
    "writes_into_the_events": (1, "something else was written where the process reports", ONE, ()),
}

# What its process survives is judged in one with the others, and with a right subject after all of them.
COMPANY: dict[str, tuple[str, str]] = {
    "changes_the_default_dtype": ("violated", "the default dtype changed in a call"),
    "changes_the_folder": ("violated", "a call changed the working directory"),
    "changes_the_grad_mode": ("violated", "the gradient mode changed in a call"),
    "fakes_equality": ("violated", "output is a Fake, but must be a tensor"),
    "fakes_torch_function": ("violated", "output[0, 0, 0]=0, but must be -0.5"),
    "interrupts_at_import": ("unjudged", "loading it raised KeyboardInterrupt"),
    "leaves_little_stack": ("violated", "a call lowered the recursion limit"),
    "lowers_the_recursion_limit": ("violated", "raised RecursionError: cannot set the recursion limit"),
    "patches_random": ("violated", "replaced numpy.abs and replaced numpy.random.Generator and replaced random.random"),
    "patches_torch": ("violated", "replaced torch.allclose and replaced torch.equal and replaced Tensor.numpy"),
    "patches_torch_at_import": ("unjudged", "replaced torch.softmax; nothing can be judged with that"),
    "prints_megabytes": ("violated", "MiB, but must leave the process alone"),
    "raises_at_import": ("unjudged", "RuntimeError: no licence found"),
    "raises_in_a_finaliser": ("violated", "raised in a finalizer, where it cannot be caught: ValueError: nobody hears of this"),
    "raises_in_the_30th_call": ("violated", "raised RuntimeError: worn out"),
    "raises_keyboard_interrupt": ("violated", "raised KeyboardInterrupt"),
    "raises_unprintable": ("violated", r"raised ValueError: \x1b[2J\x00\ud800</script>&<b>]]>\u202e"),
    "raises_what_cannot_be_said": ("violated", "raised Wordless: its message cannot be read"),
    "recurses_without_end": ("violated", "raised RecursionError: maximum recursion depth exceeded"),
    "replaces_stdout": ("violated", "a call replaced sys.stdout or sys.stderr"),
    "returns_a_generator": ("violated", "output is a generator, but must be a tensor"),
    "returns_another_dtype": ("violated", "output has dtype torch.float64, but must have query's, torch.float32"),
    "returns_another_shape": ("violated", "output has shape [2, 1, 1], but must be [1, 2, 1]"),
    "returns_nan": ("violated", "output[0, 0, 0]=nan, but must be -0.5"),
    "returns_none": ("violated", "output is a NoneType, but must be a tensor"),
    "returns_on_another_device": ("violated", "output is on meta, but must be on cpu"),
    "returns_what_cannot_be_compared": ("violated", "output is a Touchy, but must be a tensor"),
    "seeds_in_forward": ("violated", "torch's random numbers changed in a call"),
    "starts_threads": ("violated", "a call left the thread Thread-"),
    "sys_exits_in_a_call": ("violated", "raised SystemExit: 0"),
}

AT_IMPORT = {  # the process ends before it says anything, so each is loaded again alone, and a right one with them
    "exits_as_pytest_does": "the process ended with exit code 4 while subjects were loaded",
    "exits_at_import": "the process ended with exit code 0 while subjects were loaded",
}


@dataclass
class Done:
    """A run that has ended."""

    code: int
    stdout: str
    stderr: str
    data: dict[str, Any]

    def subject(self, name: str) -> dict[str, Any]:
        (found,) = [s for s in self.data["subjects"] if Path(s["subject"]).stem == name]
        return found


def reasons(subject: dict[str, Any]) -> str:
    """Everything that a report says of why a subject does not hold."""
    return "\n".join([subject["reason"], *(p["reason"] for p in subject["properties"])])


@pytest.fixture(scope="session")  # a function, which every worker may make for itself
def verify(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Done]:
    """A function that verifies subjects, and requires what is true of every run, whatever the subjects do."""

    def run(*names: str, properties: tuple[str, ...], options: tuple[str, ...] = ()) -> Done:
        folder = tmp_path_factory.mktemp("run")
        (folder / "tmp").mkdir()
        report, mark = folder / "report.json", uuid.uuid4().hex
        start = ["-c", IMPATIENT] if ENDLESS & set(names) else ["-m", "mhsa"]
        files = [str(HOSTILE / f"{name}.py") for name in names]
        limits = ["--timeout", "60", "--memory", "1500MiB"]
        command = [sys.executable, *start, "verify", "-v", *files, "-k", " or ".join(properties), "--no-color", *limits]
        command += ["--json", str(report), *options]
        given = {"TMPDIR": str(folder / "tmp"), "REPORT": str(report), "COLUMNS": "400", "MHSA_TEST": mark}
        done = subprocess.run(
            command, cwd=folder, env=os.environ | given, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        assert left_behind(mark) == {}
        assert [p.name for p in (folder / "tmp").glob("mhsa-*")] == []
        assert "Traceback" not in done.stdout + done.stderr
        assert "internal error" not in done.stderr
        data = json.loads(done.stdout if "-" in options else report.read_text())
        assert len(data["subjects"]) == len(names)
        assert data["exit_code"] == done.returncode
        planned = {p.id for p in catalogue() if any(word in p.id for word in properties)}
        for subject in data["subjects"]:
            assert {p["id"] for p in subject["properties"]} == planned or (not subject["properties"] and subject["reason"])
        return Done(done.returncode, done.stdout, done.stderr, data)

    return run


@pytest.fixture(scope="module")
def company(verify: Callable[..., Done], tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Path]:
    folder = tmp_path_factory.mktemp("reports")
    reports = [word for kind in ("junit", "html", "markdown") for word in (f"--{kind}", str(folder / f"report.{kind}"))]
    # Threads count as memory.
    options = ("--no-diagnosis", "--memory", "8GiB", *reports)
    return verify(*COMPANY, "_right", properties=THREE, options=options), folder


def test_every_hostile_subject_is_listed() -> None:
    assert {*ALONE, *COMPANY, *AT_IMPORT, "_right"} == {p.stem for p in HOSTILE.glob("*.py")}


@pytest.mark.parametrize("name", ALONE)
def test_what_ends_its_process_never_holds(name: str, verify: Callable[..., Done]) -> None:
    code, cause, properties, options = ALONE[name]
    diagnosis = () if name == "starts_a_daemon" else ("--no-diagnosis",)  # a diagnosis runs the subject once more
    done = verify(name, properties=properties, options=(*diagnosis, *options))
    assert done.code == code
    assert done.subject(name)["verdict"] == {1: "violated", 2: "unjudged"}[code]
    assert cause in reasons(done.subject(name))
    assert cause in done.stdout


def test_a_subject_that_ends_three_processes_is_given_up(verify: Callable[..., Done]) -> None:
    done = verify("segfaults", properties=(*THREE, "permuted"), options=("--no-diagnosis",))
    found = [p["reason"] for p in done.subject("segfaults")["properties"]]
    assert sum("SIGSEGV" in reason for reason in found) == 3
    assert sum("not run: this subject has ended 3 processes" in reason for reason in found) == len(found) - 3
    assert " -" not in done.stderr.partition("about")[2]  # seconds that are left


@pytest.mark.parametrize("name", COMPANY)
def test_what_its_process_survives_never_holds(name: str, company: tuple[Done, Path]) -> None:
    verdict, cause = COMPANY[name]
    done, _ = company
    assert done.subject(name)["verdict"] == verdict
    assert cause in reasons(done.subject(name))
    assert cause in done.stdout


def test_a_right_subject_after_all_of_them_in_the_same_process_holds(company: tuple[Done, Path]) -> None:
    done, _ = company
    assert done.code == 2  # some could not be judged
    assert done.subject("_right")["verdict"] == "holds", reasons(done.subject("_right"))


def test_nothing_of_what_they_do_acts_on_a_terminal_or_spoils_a_report(company: tuple[Done, Path]) -> None:
    done, folder = company
    assert "xxx" not in done.stdout
    assert not any(c in done.stdout for c in "\x1b\x00\u202e")
    assert len(ET.fromstring((folder / "report.junit").read_bytes()).findall("testsuite")) >= len(COMPANY) + 1
    assert "</script>&<b>" not in (folder / "report.html").read_text(encoding="utf-8")
    assert "raises_unprintable" in (folder / "report.markdown").read_text(encoding="utf-8")


def test_subjects_that_end_the_process_at_import_do_not_keep_a_right_one_from_being_judged(verify: Callable[..., Done]) -> None:
    done = verify(*AT_IMPORT, "_right", properties=ONE, options=("--no-diagnosis",))
    assert done.code == 2
    assert done.subject("_right")["verdict"] == "holds", reasons(done.subject("_right"))
    for name, cause in AT_IMPORT.items():
        assert done.subject(name)["verdict"] == "unjudged"
        assert cause in done.subject(name)["reason"]


def test_json_on_the_standard_output_is_alone_there(verify: Callable[..., Done]) -> None:
    done = verify("prints_megabytes", properties=THREE, options=("--no-diagnosis", "--json", "-"))
    assert done.code == 1
    assert done.stdout.startswith("{")  # and all of it is one document: verify() has read it
    assert "violated" in done.stderr
    assert "xxx" not in done.stderr
    assert "yyy" not in done.stderr


def test_workers_that_loop_or_exit_never_hold(verify: Callable[..., Done]) -> None:
    done = verify("loops", "exits_in_a_call", properties=ONE, options=("--no-diagnosis", "-n", "2", "--timeout", "4"))
    assert done.code in (1, 2)
    assert {s["verdict"] for s in done.data["subjects"]} <= {"violated", "unjudged"}
    assert "did not end within 4 s" in reasons(done.subject("loops"))
