"""What the process of a subject is given, what it may take, and how the judge notices what was done to it."""

import builtins
import math
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from mhsa.judge.side_effects import SideEffectMonitor
from mhsa.records.options import Options
from mhsa.records.request import Request
from mhsa.records.results import SubjectResult
from mhsa.run.child import Child
from mhsa.run.sandbox import Contained, child_environment
from tests.helpers.left_behind import left_behind

SECRETS = ("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "MY_API_KEY", "DB_PASSWORD", "BASIC_AUTH", "SSH_PRIVATE_KEY")
NEEDED = ("PATH", "HOME", "PYTHONPATH", "AUTHOR_NAME")
HEAVY = ("torch", "numpy", "hypothesis", "rich")


def test_a_subject_sees_what_it_needs_and_no_secrets(mhsa, tmp_path: Path) -> None:
    (tmp_path / "spy.py").write_text(
        "import json, os\nfrom pathlib import Path\nfrom mhsa import MultiHeadAttention as Attention\n"
        "Path(os.environ['SEEN']).write_text(json.dumps(dict(os.environ)))\n"
    )
    seen = tmp_path / "seen.json"
    given = dict.fromkeys((*SECRETS, "AUTHOR_NAME"), "hidden?") | {"PYTHONPATH": str(tmp_path), "SEEN": str(seen)}
    done = mhsa("verify", "spy.py:Attention", "-k", "dtype_and", "--no-color", cwd=tmp_path, **given)
    assert done.returncode == 0, done.stdout + done.stderr
    found = seen.read_text()
    assert not [name for name in SECRETS if name in found]
    assert all(f'"{name}"' in found for name in NEEDED)
    assert found.count("hidden?") == 1


def test_no_settings_of_the_users_own_pytest_reach_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-x --exitfirst")
    monkeypatch.setenv("PYTEST_PLUGINS", "nosuch")
    found = child_environment(tmp_path)
    assert found["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] == "1"
    assert not {"PYTEST_ADDOPTS", "PYTEST_PLUGINS"} & set(found)


class TestContained:
    def test_of_megabytes_that_are_printed_the_last_words_are_kept(self, tmp_path: Path) -> None:
        code = "print('x' * 5_000_000, flush=True)\nimport sys\nsys.stderr.write('the end')"
        process = Contained([sys.executable, "-c", code], tmp_path)
        until = time.monotonic() + 60.0
        while process.running:
            assert time.monotonic() < until
            time.sleep(0.01)
        code, said = process.end()
        assert code == 0
        assert len(said) == 64 * 1024
        assert said.endswith("xxx\nthe end")

    def test_it_has_no_terminal_and_no_input(self, tmp_path: Path) -> None:
        code = "import os, sys; print(repr(sys.stdin.read()), os.getsid(0) == os.getpid())"
        process = Contained([sys.executable, "-c", code], tmp_path)
        process.process.wait(60)
        assert process.end() == (0, "'' True\n")

    @pytest.mark.skipif(sys.platform != "linux", reason="what left the group is looked for in /proc")
    def test_what_it_has_started_is_ended_with_it_wherever_it_went(self, tmp_path: Path) -> None:
        started = tmp_path / "started"
        code = (
            "import pathlib, subprocess, sys, time\n"
            "command = [sys.executable, '-c', 'import time; time.sleep(4321)']\n"
            "first, second = subprocess.Popen(command), subprocess.Popen(command, start_new_session=True)\n"
            f"pathlib.Path({str(started)!r}).write_text('both')\ntime.sleep(4321)"
        )
        process = Contained([sys.executable, "-c", code], tmp_path)
        until = time.monotonic() + 60.0
        while not started.exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        before = time.monotonic()
        code, _ = process.end()
        assert code == -9
        assert left_behind(process.token) == {}
        assert time.monotonic() - before < 10.0


class TestSideEffectMonitor:
    def test_nothing_has_changed(self) -> None:
        watch = SideEffectMonitor()
        torch.softmax(torch.ones(3), 0)
        assert watch.changes() == ""

    def test_what_is_replaced_is_named_and_put_back(self) -> None:
        watch, before = SideEffectMonitor(), (torch.softmax, torch.Tensor.backward, math.sqrt, builtins.abs, random.random)
        torch.softmax, torch.Tensor.backward = lambda x, dim: x, lambda self: None
        math.sqrt, builtins.abs, random.random = lambda x: 1.0, lambda x: x, lambda: 0.5
        try:
            found = watch.changes()
        finally:
            now = (torch.softmax, torch.Tensor.backward, math.sqrt, builtins.abs, random.random)
            torch.softmax, torch.Tensor.backward, math.sqrt, builtins.abs, random.random = before
        assert found == "replaced torch.softmax and replaced random.random and replaced math.sqrt"  # three say enough
        assert now == before
        assert watch.changes() == ""

    def test_what_is_taken_away_is_put_back(self) -> None:
        watch, before = SideEffectMonitor(), torch.allclose
        try:
            del torch.allclose
            assert watch.changes() == "replaced torch.allclose"
            assert torch.allclose is before
        finally:
            torch.allclose = before

    def test_a_method_that_comes_before_that_of_a_base_class_is_taken_away(self) -> None:
        watch = SideEffectMonitor()
        torch.Tensor.sum = lambda self: 0
        try:
            assert watch.changes() == "replaced Tensor.sum"
        finally:
            vars(torch.Tensor).get("sum") and delattr(torch.Tensor, "sum")
        assert torch.ones(3).sum() == 3

    def test_what_torch_replaces_itself_is_none_of_the_subjects_doing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def manual_seed(seed: int) -> None:
            """As torch does when its compiler is used for the first time."""

        manual_seed.__module__ = "torch.random"
        watch = SideEffectMonitor()
        monkeypatch.setattr(torch, "manual_seed", manual_seed)
        assert watch.changes() == ""
        assert torch.manual_seed is manual_seed

    def test_a_thread_that_still_runs(self) -> None:
        watch, lenient, done = SideEffectMonitor(), SideEffectMonitor(), threading.Event()
        thread = threading.Thread(target=done.wait, args=(60.0,), name="busy", daemon=True)
        thread.start()
        try:
            assert lenient.changes(processes=False) == ""
            assert watch.changes() == "left the thread busy running"
            assert watch.changes() == ""  # it is said once
        finally:
            done.set()
            thread.join()

    def test_a_thread_that_has_ended_is_nothing(self) -> None:
        watch = SideEffectMonitor()
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        assert watch.changes() == ""

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
    def test_a_fork_is_told_and_the_copy_judges_nothing(self, tmp_path: Path) -> None:
        code = (
            "import os, sys\nfrom mhsa.judge.side_effects import SideEffectMonitor\nwatch = SideEffectMonitor()\n"
            "pid = os.fork()\n"
            "said = watch.changes()\nprint(said, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "forked this process 70\n"

    def test_the_working_directory_is_put_back_and_told_but_where_a_script_is_imported(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.chdir(tmp_path)
        watch = SideEffectMonitor()
        os.chdir("/")
        assert watch.changes(processes=False) == ""
        assert Path.cwd() == tmp_path
        os.chdir("/")
        assert watch.changes() == "changed the working directory"
        assert Path.cwd() == tmp_path

    def test_a_lower_recursion_limit_is_put_back_and_a_higher_one_left(self) -> None:
        watch, before = SideEffectMonitor(), sys.getrecursionlimit()
        try:
            sys.setrecursionlimit(before + 100)
            assert watch.changes() == ""
            assert sys.getrecursionlimit() == before + 100
            sys.setrecursionlimit(before - 100)
            assert watch.changes() == "lowered the recursion limit"
            assert sys.getrecursionlimit() == before + 100
        finally:
            sys.setrecursionlimit(before)

    def test_streams_are_counted_and_put_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, getattr(sys, name))
        monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
        watch = SideEffectMonitor()
        watch.listen()
        ours = sys.stdout
        print("x" * 2**20, end="")
        assert watch.changes() == ""
        print("x" * (2**20 + 2**17), end="")
        assert watch.changes() == "printed 1.1 MiB"
        sys.stdout = sys.__stdout__
        assert watch.changes() == "replaced sys.stdout or sys.stderr"
        assert sys.stdout is ours


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_an_allocation_beyond_the_limit_fails_and_a_smaller_one_does_not() -> None:
    code = (
        "import torch\nfrom mhsa.run.process_limits import limit_memory\nlimit_memory(300 * 2**20)\n"
        "print(len(torch.ones(2**25)))\n"  # 128 MiB
        "try:\n    torch.ones(2**27)\nexcept RuntimeError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{2**25}\n")
    assert "can't allocate memory" in done.stdout


def child(tmp_path: Path, **options: object) -> Child:
    name = "mhsa:MultiHeadAttention"
    requests = (Request.of(name),)
    return Child(Options(requests, **options), requests, tmp_path, [SubjectResult(name)], lambda event: None)


class TestWhatAProcessSays:
    """Events are lines of JSON, and anybody may have written them."""

    @pytest.mark.parametrize("line", ["{", "[]", "5", "null", '"word"', "\ufffd", "\0"])
    def test_what_is_no_event_ends_the_process(self, line: str, tmp_path: Path) -> None:
        listening = child(tmp_path)
        listening._hear_line(line)
        assert listening.garbled

    def test_nor_is_what_cannot_be_read_for_its_depth(self, tmp_path: Path) -> None:
        listening = child(tmp_path)
        listening._hear_line("[" * 100_000)
        assert listening.garbled

    def test_an_event_of_another_kind_is_passed_over(self, tmp_path: Path) -> None:
        listening = child(tmp_path)
        listening._hear_line('{"pytest_version": "9", "$report_type": "SessionStart"}')
        assert (listening.began, listening.garbled, listening.finished) == (True, False, False)

    def test_a_property_that_was_passed_over_does_not_count_as_running(self, tmp_path: Path) -> None:
        about = '{"number": 1, "notes": [], "place": null, "planned": ["oracle.output_without_mask"]}'
        event = (
            '{"$report_type": "TestReport", "nodeid": "test_oracle.py::test_output_without_mask[1]", "when": "setup", '
            '"outcome": "%s", "user_properties": [["mhsa-subject", ' + about + "]]}"
        )
        listening = child(tmp_path, timeout=0.001)
        listening._hear_line(event % "skipped")
        assert not listening.running
        listening._hear_line(event % "passed")
        assert list(listening.running) == [(1, "oracle.output_without_mask")]
        time.sleep(0.01)
        assert listening._is_overdue()

    @pytest.mark.parametrize(("code", "lines", "refused"), [(4, 0, True), (4, 1, False), (0, 0, False), (-9, 0, False)])
    def test_pytest_refused_to_start_only_if_it_said_nothing(
        self, code: int, lines: int, refused: bool, tmp_path: Path
    ) -> None:
        listening = child(tmp_path)
        listening.returncode = code
        for _ in range(lines):
            listening._hear_line('{"$report_type": "SessionStart"}')
        assert listening.refused is refused


@pytest.mark.parametrize(
    ("keyword", "files"),
    [
        ("oracle.output_without_mask", ["test_oracle.py"]),
        (
            "oracle.output_without_mask or masks.masked_weights_are_zero or oracle.returned_weights",
            ["test_oracle.py", "test_masks.py"],
        ),
        ("oracle", []),
        ("not oracle.output_without_mask", []),
        ("oracle.output_without_mask or gradients", []),
        ("", []),
    ],
)
def test_properties_that_are_named_are_collected_alone(keyword: str, files: list[str], tmp_path: Path) -> None:
    command = child(tmp_path, keyword=keyword)._command(tmp_path / "events")
    folder, *ignored = command[command.index("pytest") + 1 : command.index("-c")]
    left_out = {Path(option.removeprefix("--ignore=")).name for option in ignored}
    collected = {file.name for file in Path(folder).glob("test_*.py")} - left_out
    assert (collected == set(files)) if files else not left_out


@pytest.mark.parametrize("module", ["mhsa", "mhsa.judge.plugin"])
def test_an_import_takes_nothing_heavy_along(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_command_computes_nothing_itself(tmp_path: Path) -> None:
    code = (
        "import sys; from mhsa.commands.cli import main; code = main(['verify', 'nosuch:thing']); "
        "print(code, [name for name in ('torch', 'numpy', 'hypothesis', 'pytest') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "2 []"


def test_the_plugin_takes_nothing_heavy_along_into_an_ordinary_run(tmp_path: Path) -> None:
    (tmp_path / "test_user.py").write_text(
        "import sys\ndef test_light():\n    assert 'mhsa.judge.plugin' in sys.modules\n"
        f"    assert not [name for name in {HEAVY} if name in sys.modules]\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "mhsa.judge.plugin", "-p", "no:cacheprovider", "test_user.py"],
        cwd=tmp_path, env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
