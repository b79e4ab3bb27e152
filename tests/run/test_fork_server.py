"""A forked process is as one that is started anew: what it is given, how it ends, and that it finds the same."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mhsa.records.catalogue import properties_folder
from mhsa.records.options import Options
from mhsa.records.request import Request
from mhsa.run.fork_client import SERVER, Process
from mhsa.run.process_limits import PARENT
from mhsa.run.runner import child_environment, run
from tests.helpers.places import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")

# Says what there is to know of the process that imports it.
SPY = """
import json, os, signal, sys, threading
from pathlib import Path

import torch
from mhsa import MultiHeadAttention

Path(os.environ["SEEN"]).write_text(json.dumps({
    "variables": dict(os.environ), "shown": Path("/proc/self/environ").read_text(), "parent": os.getppid(),
    "leader": [os.getsid(0), os.getpgid(0)] == [os.getpid()] * 2,
    "streams": [os.readlink(f"/proc/self/fd/{n}") for n in range(3)],
    "files": len(os.listdir("/proc/self/fd")), "input": sys.stdin.read(), "folder": os.getcwd(), "path": sys.path,
    "safe": sys.flags.safe_path, "arguments": [sys.argv[0], *sys.argv[4:6]], "threads": threading.active_count(),
    "tasks": len(os.listdir("/proc/self/task")), "torch": torch.get_num_threads(), "cuda": torch.cuda.is_initialized(),
    "interrupt": signal.getsignal(signal.SIGINT).__name__, "depth": sys.getrecursionlimit(),
    "modules": sorted(name for name in sys.modules if name.partition(".")[0] in ("mhsa", "__main__")),
}))
"""
OWN = {"SEEN", "MHSA_PARENT", "MHSA_RUN", "HYPOTHESIS_STORAGE_DIRECTORY"}  # variables of each process or run


def look(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a process sees, and what it finds of the subject."""
    (folder / "spy.py").write_text(SPY)
    seen = folder / f"{kind}.json"
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SEEN", str(seen))
        patch.setenv("MADE_UP", "for this test")
        patch.setenv("MY_API_KEY", "hidden?")
        if kind == "anew":
            patch.setattr("mhsa.run.fork_client._connect", lambda *_: None)
        if kind == "own":
            patch.delenv(SERVER)
        (result,) = run(Options((Request.of(f"{folder / 'spy.py'}:MultiHeadAttention"),), keyword="output_without_mask"))
    assert result.verdict == "holds", result.why
    (found,) = result.properties
    return json.loads(seen.read_text()) | {"found": [found.cases, found.worst_error_over_bound, found.worst_by_dtype]}


@pytest.mark.parametrize("kind", ["shared", "own"])
def test_a_forked_process_is_as_one_that_is_started_anew(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anew, forked = look(tmp_path, "anew", monkeypatch), look(tmp_path, kind, monkeypatch)
    # The files of properties are imported beforehand, and with them what nothing else imports.
    properties = "".join(file.read_text() for file in properties_folder().glob("test_*.py"))
    for module in set(forked.pop("modules")) ^ set(anew.pop("modules")):
        room, _, name = module.rpartition(".")
        known = rf"from {re.escape(module)}(\.\w+)? import|from {re.escape(room)} import .*\b{name}\b"  # by itself, or a room
        assert re.search(known, properties), module
    for seen in (anew, forked):
        variables, shown = seen.pop("variables"), seen.pop("shown")
        assert dict(pair.split("=", 1) for pair in shown.strip("\0").split("\0")) == variables
        assert int(variables[PARENT]) == seen.pop("parent")
        assert "hidden?" not in shown
        seen["variables"] = {name: value for name, value in variables.items() if name not in OWN}
        seen["streams"][1:] = [stream.partition(":")[0] for stream in seen["streams"][1:]]  # of a pipe's number
    assert forked == anew
    assert forked["variables"]["MADE_UP"] == "for this test"
    assert SERVER not in forked["variables"]


def start(code: str, folder: Path, **variables: str) -> Process:
    """A process that is as far as running a file of tests, which is ours."""
    (folder / "test_code.py").write_text(code)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-s", str(folder / "test_code.py")]
    with (folder / "said").open("wb") as said, open(os.devnull, "rb") as nothing:
        streams = (nothing.fileno(), said.fileno(), said.fileno())
        return Process(command, child_environment(folder) | variables, streams)


def is_forked(process: Process) -> bool:
    """Whether a process came from a server; must be called while it runs."""
    while process.pid is None:
        assert process.poll() is None
        time.sleep(0.01)
    return process._popen is None


@pytest.mark.parametrize(
    ("code", "returncode"),
    [
        ("import os\nos._exit(7)", 7),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("import atexit, os\natexit.register(os._exit, 9)\ndef test_it(): pass", 9),
        ("def test_it(): pass", 0),
        ("import atexit, sys\natexit.register(setattr, sys, 'stdout', None)\ndef test_it(): pass", 0),
        ("def test_it(): raise ValueError", 1),
    ],
)
def test_how_it_ends_is_told(code: str, returncode: int, tmp_path: Path) -> None:
    process = start(code, tmp_path)
    assert is_forked(process)
    assert process.wait(60) == returncode
    assert process.poll() == returncode


def test_it_does_what_it_has_left_for_its_end(tmp_path: Path) -> None:
    later = "threading.Thread(target=lambda: (time.sleep(0.3), sys.stdout.write('from a thread'))).start()"
    last = "atexit.register(lambda: sys.stdout.write(', and at last'))"
    process = start(f"import atexit, sys, threading, time\ndef test_it():\n    {later}\n    {last}", tmp_path)
    assert is_forked(process)
    assert process.wait(60) == 0
    assert (tmp_path / "said").read_text().endswith("from a thread, and at last")


def wait_for_the_end(pid: int) -> None:
    """Wait until there is no such process, or group."""
    until = time.monotonic() + 10.0
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < until:
            os.kill(pid, 0)
            time.sleep(0.01)
        pytest.fail("it is still there")


def test_one_that_is_killed_is_ended_with_its_group(tmp_path: Path) -> None:
    process = start("import os, time\nos.fork()\ntime.sleep(4321)", tmp_path)
    assert is_forked(process)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    wait_for_the_end(-process.pid)


def test_it_ends_with_the_one_that_asked_for_it(tmp_path: Path) -> None:
    code = (
        "import os, sys, time\nfrom pathlib import Path\nfrom tests.run.test_fork_server import start, is_forked\n"
        f"process = start('import time\\ntime.sleep(4321)', Path({str(tmp_path)!r}))\n"
        "print(is_forked(process), process.pid, flush=True)\ntime.sleep(4321)\n"
    )
    asking = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert asking.stdout is not None
    forked, pid = asking.stdout.readline().split()
    assert forked == "True"
    os.kill(int(pid), 0)
    asking.kill()
    asking.communicate()
    wait_for_the_end(int(pid))


@pytest.mark.parametrize("variable", ["PYTHONHASHSEED", "OMP_NUM_THREADS", "CUDA_MODULE_LOADING", "CI", "HYPOTHESIS_X"])
def test_what_a_library_reads_at_its_import_needs_a_new_process(variable: str, tmp_path: Path) -> None:
    process = start(f"import os\ndef test_it(): assert os.environ[{variable!r}] == '3'", tmp_path, **{variable: "3"})
    assert not is_forked(process)
    assert process.wait(60) == 0


def test_variables_that_do_not_fit_need_a_new_process(tmp_path: Path) -> None:
    process = start("def test_it(): pass", tmp_path, MUCH="x" * 50_000)
    assert not is_forked(process)
    assert process.wait(60) == 0


def test_a_server_that_is_gone_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SERVER, str(tmp_path / "nosuch"))
    process = start("def test_it(): pass", tmp_path)
    assert not is_forked(process)
    assert process.wait(60) == 0


def test_a_subject_that_kills_the_server_ends_itself_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of its own: who runs next is started anew."""
    monkeypatch.delenv(SERVER)
    deadly = tmp_path / "deadly.py"
    deadly.write_text("import os\nos.kill(os.getppid(), 9)\n")
    code = f"""
from mhsa.records.request import Request
from mhsa.records.options import Options
from mhsa.run.runner import run
for subject in ({str(deadly)!r}, "mhsa:fused_attention"):
    (result,) = run(Options((Request.of(subject),), keyword="output_without_mask"))
    print(result.verdict, result.reason)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    deadly_line, right_line = done.stdout.splitlines()
    assert deadly_line.startswith("unjudged the process was killed by SIGKILL while subjects were loaded")
    assert right_line.strip() == "holds"
