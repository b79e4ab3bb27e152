"""``mhsa bench``: whom it times, whom it does not, and what it says and exits with."""

import argparse
import importlib.util
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mhsa.bench.measure.cell import Bench, Cell, reason_of
from mhsa.bench.measure.measurement import BASELINE, KNOWN, PASSES, Contender, Measurement
from mhsa.bench.measure.run import Moment, Run
from mhsa.bench.measure.run import run as really_run
from mhsa.bench.measure.worker import Plan
from mhsa.commands.bench import COMPARED, LENGTHS, exit_code
from mhsa.commands.cli import main
from mhsa.commands.options.bench import lengths
from mhsa.records.defaults import DTYPES
from mhsa.records.distribution import install_hint
from mhsa.records.request import Request
from mhsa.records.shape import SHAPES, Shape, long, shape_of
from tests.helpers.command_line import run_mhsa
from tests.helpers.places import ROOT
from tests.helpers.timed import SUBJECTS, made

TINY = ("--budget", "0.02", "--against", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench")
    (path / "subjects.py").write_text(SUBJECTS)
    return path


def figures(path: Path) -> tuple[dict[str, Any], dict[tuple[str, str, str, int], dict[str, Any]]]:
    """A JSON file, and its measurements by implementation, pass, dtype and length."""
    data = json.loads(path.read_text())
    found = {(m["implementation"], m["passes"], m["dtype"], m["shape"]["length"]): m for m in data["measurements"]}
    assert len(found) == len(data["measurements"])
    return data, found


class TestRight:
    """A subject that is right is measured, and all the figures are of one kind."""

    @pytest.fixture(scope="class")
    @classmethod
    def done(cls, folder: Path) -> subprocess.CompletedProcess[str]:
        return run_mhsa("bench", "subjects.py:Right", "--lengths", "16,32", *TINY, "--json", "-", cwd=folder)

    def test_it_exits_with_0_and_says_how_long_it_takes(self, done: subprocess.CompletedProcess[str]) -> None:
        assert done.returncode == 0, done.stderr
        for words in ("forward, float32, cpu", "training, float32, cpu", "subjects.py:Right", "long 16", "long 32", "x"):
            assert words in done.stderr
        assert "n/a" not in done.stderr
        assert "Traceback" not in done.stderr

    def test_json_on_the_standard_output_is_alone_there_and_as_documented(self, done: subprocess.CompletedProcess[str]) -> None:
        data = json.loads(done.stdout)
        assert list(data) == ["schema", "mhsa", "exit_code", "partial", "machine", "measurements"]
        assert (data["schema"], data["exit_code"], data["partial"]) == ("mhsa-bench-1", 0, False)
        assert {"device": "cpu", "threads": 1}.items() <= data["machine"].items()
        documented = (ROOT / "docs" / "json.md").read_text().partition("mhsa bench --json")[2]
        of = [m["implementation"] for m in data["measurements"]]
        assert of == ["subjects.py:Right", BASELINE] * 4
        for m in data["measurements"]:
            assert set(m) == set(asdict(Measurement("", "forward", long(1), "", "")))
            assert all(f'"{key}"' in documented for key in (*m, *m["shape"], *m["counters"]))
            assert (m["outcome"], m["reason"]) == ("measured", "")
            assert m["low"] <= m["ratio"] <= m["high"]
            assert all(type(m[key]) is float and 0.0 < m[key] < 60.0 for key in ("seconds", "ratio", "low", "high"))
            assert 1 <= m["blocks"] <= 400
            assert m["rows"] == m["shape"]["length"]
            assert m["shape"] == asdict(long(m["shape"]["length"]))
            counters = m["counters"]
            assert (counters["kernels"], counters["instructions"]) == (None, None)
            assert all(type(counters[n]) is int and counters[n] > 0 for n in ("operators", "flops", "allocated", "peak"))
            assert Measurement.of_dict(m).as_dict() == m


class TestWrong:
    """Where a subject is wrong it has no figures, in no output; where it is right, and all beside it, is measured."""

    @pytest.fixture(scope="class")
    @classmethod
    def done(cls, folder: Path) -> subprocess.CompletedProcess[str]:
        reports = [word for kind in ("json", "html", "markdown") for word in (f"--{kind}", f"wrong.{kind}")]
        return run_mhsa(
            "bench", "subjects.py:Wrong", "subjects.py:WrongInBfloat16", "--shape", "2x16x2x64", *TINY, *reports,
            "--dtype", "float32", "--dtype", "torch.bfloat16", cwd=folder,
        )  # fmt: skip

    def test_it_exits_with_1_and_says_so(self, done: subprocess.CompletedProcess[str]) -> None:
        assert done.returncode == 1, done.stderr
        assert "subjects.py:Wrong: failed: wrong result: output" in done.stdout
        assert "subjects.py:WrongInBfloat16: failed: wrong result: output" in done.stdout

    def test_nothing_that_is_wrong_has_seconds(self, done: subprocess.CompletedProcess[str], folder: Path) -> None:
        data, found = figures(folder / "wrong.json")
        assert data["exit_code"] == done.returncode
        assert len(found) == 3 * len(PASSES) * 2
        for (name, _, dtype, _), m in found.items():
            right = name == BASELINE or (name.endswith("WrongInBfloat16") and dtype == "float32")
            assert m["outcome"] == ("measured" if right else "wrong")
            assert (m["seconds"] is not None) == right
            if not right:
                assert m["reason"].startswith("output")
                assert [m[key] for key in ("seconds", "ratio", "low", "high")] == [None] * 4
                assert (m["blocks"], m["rows"]) == (0, 0)
                assert set(m["counters"].values()) == {None}

    @pytest.mark.parametrize("kind", ["html", "markdown"])
    def test_the_reports_are_written_and_say_so_too(
        self, done: subprocess.CompletedProcess[str], folder: Path, kind: str
    ) -> None:
        text = (folder / f"wrong.{kind}").read_text(encoding="utf-8")
        assert "wrong result" in text
        assert "WrongInBfloat16" in text
        assert "2x16x2x64" in text


MORTALS = ("Exits", "Sleeps", "Allocates", "RaisesInFloat16", "DiesWhileItIsTimed", "Right")
GONE = {
    ("Exits", "float32", 32): "the process ended with exit code 7 while subjects.py:Exits was in: a first call",
    ("Sleeps", "float32", 32): "did not end within 5 s, so it was ended (--timeout) while subjects.py:Sleeps was in: a first",
    ("Allocates", "float32", 32): "out of memory (",
    ("RaisesInFloat16", "float16", 16): "TypeError: half of what I need (",
    ("DiesWhileItIsTimed", "float32", 16): (
        "the process was killed by SIGKILL while subjects.py:DiesWhileItIsTimed was in: timing"
    ),
}  # fmt: skip


class TestSurvival:
    """Whoever ends the process, or takes too long or too much, is n/a there with the reason; all the rest is measured."""

    @pytest.fixture(scope="class")
    @classmethod
    def done(cls, folder: Path) -> subprocess.CompletedProcess[str]:
        (folder / "tmp").mkdir()
        return run_mhsa(
            "bench", *(f"subjects.py:{name}" for name in MORTALS), "--lengths", "16,32", *TINY, "--pass", "forward",
            "--dtype", "float32", "--dtype", "float16", "--timeout", "5", "--memory", "1GiB", "--json", "survival.json",
            cwd=folder, TMPDIR=str(folder / "tmp"),
        )  # fmt: skip

    def test_every_one_has_one_result_everywhere_and_all_but_those_are_measured(
        self, done: subprocess.CompletedProcess[str], folder: Path
    ) -> None:
        data, found = figures(folder / "survival.json")
        assert done.returncode == data["exit_code"] == 0, done.stdout + done.stderr
        names = [BASELINE, *(f"subjects.py:{name}" for name in MORTALS)]
        assert set(found) == {(n, "forward", d, t) for n in names for d in ("float32", "float16") for t in (16, 32)}
        for (name, _, dtype, length), m in found.items():
            reason = GONE.get((name.removeprefix("subjects.py:"), dtype, length))
            assert m["outcome"] == ("measured" if reason is None else "n/a"), m
            assert m["reason"].startswith(reason or ""), m
            assert (m["seconds"] is None) == (m["ratio"] is None) == (reason is not None)

    def test_the_reasons_are_said_and_nothing_is_left(self, done: subprocess.CompletedProcess[str], folder: Path) -> None:
        for reason in GONE.values():
            assert f"n/a: {reason}" in done.stdout
        assert "Traceback" not in done.stdout + done.stderr
        assert list((folder / "tmp").glob("mhsa*")) == []


def test_what_cannot_be_loaded_exits_with_2_and_the_others_are_measured(folder: Path) -> None:
    done = run_mhsa(
        "bench", "nosuch:thing", "subjects.py:Rihgt", "subjects.py:Right", "--shape", "1x8x2x8", "--pass", "forward", *TINY,
        "--json", "o.json", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 2
    assert "import of nosuch failed: ModuleNotFoundError" in done.stdout
    assert "has no attribute 'Rihgt'; did you mean Right" in done.stdout
    _, found = figures(folder / "o.json")
    assert {name: m["outcome"] for (name, *_), m in found.items()} == {
        "nosuch:thing": "n/a", "subjects.py:Rihgt": "n/a", "subjects.py:Right": "measured", BASELINE: "measured",
    }  # fmt: skip


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_cuda_device_there_are_no_figures_for_it(folder: Path) -> None:
    done = run_mhsa("bench", "fused", "--shape", "exercise", *TINY, "--device", "cuda", "--json", "c.json", cwd=folder)
    assert done.returncode == 2
    assert "fused: n/a: no CUDA device" in done.stdout
    _, found = figures(folder / "c.json")
    assert {(m["outcome"], m["reason"], m["device"]) for m in found.values()} == {("n/a", "no CUDA device", "cuda")}


def test_an_interrupted_run_gives_what_it_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    contenders = (Contender.known("reference"), Contender.known(BASELINE))
    plan = Plan(contenders, tuple((shape_of("1x8x2x8"), d, "cpu") for d in DTYPES), PASSES, 0.01, counted=False)

    def listen(moment: Moment) -> None:
        if moment.measured is not None and moment.measured.implementation == BASELINE:
            raise KeyboardInterrupt

    found = really_run(plan, listen)
    assert found.interrupted
    assert [(m.implementation, m.passes, m.outcome) for m in found.measurements] == [
        ("reference", "forward", "measured"),
        (BASELINE, "forward", "measured"),
    ]
    assert list(tmp_path.iterdir()) == []


class Stage:
    """The command line with another run in the place of the one that measures."""

    def __init__(self, result: Run | BaseException) -> None:
        self.result = result
        self.plans: list[Plan] = []
        self.timeouts: list[float] = []

    def __call__(self, plan: Plan, listen: Callable[[Moment], None], timeout: float) -> Run:
        self.plans.append(plan)
        self.timeouts.append(timeout)
        for m in self.result.measurements if isinstance(self.result, Run) else ():
            listen(Moment(0, m.implementation, "measured", m))
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stage]:
    handler = signal.getsignal(signal.SIGTERM)
    stage = Stage(Run([made("fused"), made(BASELINE)], {"device": "cpu"}))
    monkeypatch.setattr("mhsa.bench.measure.run.run", stage)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.chdir(tmp_path)
    yield stage
    signal.signal(signal.SIGTERM, handler)


def refused(*arguments: str) -> int:
    """Exit code of a command that leaves before it does anything."""
    with pytest.raises(SystemExit) as left:
        main(["bench", *arguments])
    return left.value.code


class TestBadUsage:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--shape", "exercice"], "--shape: no shape 'exercice'; known are exercise,"),
            (["--shape", "exercice"], "did you mean 'exercise'?"),
            (["--shape", "2x16x3x64"], "d_model a multiple of the heads"),
            (["--shape", "0x16x4x64"], "sizes must be 1 to"),
            (
                ["--against", "fused,flash"],
                "--against 'flash'; must be one of baseline, reference, fused, torch, torch+weights",
            ),
            (["--json", "no/such/folder/o.json"], "--json no/such/folder/o.json: there is no folder"),
            (["--png", "no/such/folder/o.png"], "--png no/such/folder/o.png: there is no folder"),
            (["--html", "."], "--html .: cannot be written"),
            (["--lengths", "16,x"], "'16,x' is not a list of lengths from 1 to 1048576, such as 128,256,512"),
            (["--lengths", "0"], "'0' is not a list of lengths"),
            (["--dtype", "int8"], "'int8' is not one of float64, float32, bfloat16, float16"),
            (["--pass", "backward"], "--pass: 'backward' is not one of forward, training"),
            (["--budget", "0"], "'0' is not a number of seconds above 0"),
            (["--memory", "much"], "'much' is not a size such as 8GiB or 500MB"),
            (["--shapes", "exercise"], "did you mean --shape?"),
            (["--callgrind", "--device", "cuda"], "--callgrind counts the instructions of the CPU; given was --device cuda"),
            (["--config", "nosuch.toml"], "nosuch.toml"),
        ],
    )
    def test_it_exits_with_2_and_one_message_before_anything_runs(
        self, stage: Stage, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
    ) -> None:
        assert refused("fused", *arguments) == 2
        out, err = capsys.readouterr()
        assert words in err
        assert out == ""
        assert stage.plans == []

    def test_pictures_need_matplotlib(
        self, stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        find = importlib.util.find_spec
        monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None if name == "matplotlib" else find(name))
        assert refused("fused", "--png", "o.png") == 2
        assert capsys.readouterr().err == f"mhsa: --png needs the package matplotlib: {install_hint('bench')}\n"
        assert stage.plans == []

    def test_callgrind_needs_valgrind(
        self, stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shutil.which", lambda name: None)
        assert refused("fused", "--callgrind") == 2
        assert capsys.readouterr().err == "mhsa: --callgrind needs valgrind (apt-get install valgrind)\n"
        assert stage.plans == []

    def test_an_interrupt_exits_with_2(self, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
        stage.result = KeyboardInterrupt()
        assert main(["bench", "fused"]) == 2
        assert "interrupted; nothing was concluded" in capsys.readouterr().err

    def test_an_error_of_ours_is_no_verdict(self, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
        stage.result = ZeroDivisionError("oops")
        assert main(["bench", "fused"]) == 2
        assert "internal error, nothing was concluded; please report it: ZeroDivisionError: oops" in capsys.readouterr().err


class TestPlan:
    """What the command line and the configuration ask for."""

    def plan(self, stage: Stage, *arguments: str) -> Plan:
        main(["bench", *arguments])
        (plan,) = stage.plans
        return Plan.of_json(plan.as_json())  # as it gets to the process that measures

    def test_without_anything_nothing_is_measured(self, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
        assert refused() == 2
        said = capsys.readouterr().err
        assert "names no subject" in said or "no subject is named" in said
        assert "`mhsa bench reference fused torch` times what comes with mhsa" in " ".join(said.split())
        assert stage.plans == []

    def test_the_reference_is_measured_over_the_length(self, stage: Stage) -> None:
        plan = self.plan(stage, "reference")
        assert [c.request.spec for c in plan.contenders] == [
            KNOWN[name][0] for name in ("reference", *(r for r in COMPARED if r != "reference"), BASELINE)
        ]
        assert plan.cells == tuple((long(n), "float32", "cpu") for n in LENGTHS)
        assert (plan.passes, plan.threads, plan.callgrind, plan.counted, plan.done) == (PASSES, 1, False, True, 0)
        assert plan.memory is not None
        assert stage.timeouts == [300.0]

    def test_everything_is_passed_on(self, stage: Stage) -> None:
        plan = self.plan(
            stage, "torch+weights", "m.py:A", "fused", "--against", "torch,fused", "--dtype", "float16", "--dtype", "float64",
            "--dtype", "float16", "--lengths", "8,16", "--shape", "wide", "--shape", "long 16", "--pass", "training",
            "--budget", "0.25", "--threads", "2", "--timeout", "7", "--memory", "3GiB", "--device", "cuda:1",
        )  # fmt: skip
        assert {c.name for c in plan.contenders[:3]} == {"torch+weights", "m.py:A", "fused"}
        assert [c.name for c in plan.contenders[3:]] == ["torch", BASELINE]  # beside them, and each once
        assert [c.name for c in plan.contenders if c.need_weights] == ["torch+weights"]
        shapes = (long(8), long(16), SHAPES["wide"])
        assert plan.cells == tuple((shape, dtype, "cuda:1") for dtype in ("float16", "float64") for shape in shapes)
        assert (plan.passes, plan.budget, plan.threads, plan.memory) == (("training",), 0.25, 2, 3 * 2**30)
        assert stage.timeouts == [7.0]

    def test_what_is_configured_is_measured_where_nothing_is_named(self, stage: Stage, tmp_path: Path) -> None:
        (tmp_path / "subjects.py").write_text(SUBJECTS)
        (tmp_path / "pyproject.toml").write_text(
            '[tool.mhsa]\nmemory = "2GiB"\n[tool.mhsa.subjects.mine]\nsubject = "subjects.py:Right"\ndevice = "cuda"\n'
            '[tool.mhsa.subjects.torch]\nsubject = "subjects.py:Wrong"\n'
        )
        plan = self.plan(stage, "--against", "torch", "--shape", "exercise")
        # A name of ours is ours; a subject that is called so goes by what it is.
        assert [(c.name, c.request.spec) for c in plan.contenders] == [
            ("mine", "subjects.py:Right"),
            ("subjects.py:Wrong", "subjects.py:Wrong"),
            ("torch", "torch.nn:MultiheadAttention"),
            (BASELINE, "mhsa.bench.measure.baseline:BaselineAdapter"),
        ]
        assert plan.cells == ((SHAPES["exercise"], "float32", "cuda"),)
        assert plan.memory == 2 * 2**30

    def test_one_that_is_ours_by_another_name_is_measured_once(self, stage: Stage) -> None:
        plan = self.plan(stage, "mhsa:fused_attention", "fused", "--against", "fused")
        assert [c.name for c in plan.contenders] == ["fused", BASELINE]


class TestOutcome:
    @pytest.mark.parametrize(
        ("outcomes", "code"),
        [
            ({"a": ["measured", "n/a"]}, 0),
            ({"a": ["measured", "measured"], "b": ["n/a", "measured"]}, 0),
            ({"a": ["measured"], "b": ["n/a", "n/a"]}, 2),
            ({"a": ["measured"], "b": []}, 2),
            ({"a": ["measured", "wrong"], "b": ["n/a"]}, 1),
            ({"a": ["n/a", "wrong"]}, 1),
        ],
    )
    def test_exit_codes(self, outcomes: dict[str, list[str]], code: int) -> None:
        found = [made(name, outcome) for name, each in outcomes.items() for outcome in each]
        beside = [made("beside", "wrong"), made(BASELINE, "n/a")]  # not asked for
        assert exit_code(Run([*found, *beside]), list(outcomes)) == code

    def test_everything_is_written(self, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
        files = [word for kind in ("json", "png", "html", "markdown") for word in (f"--{kind}", f"o.{kind}")]
        assert main(["bench", "fused", *files]) == 0
        assert json.loads((tmp_path / "o.json").read_text())["partial"] is False
        assert (tmp_path / "o.png").read_bytes().startswith(b"\x89PNG")
        assert "<html" in (tmp_path / "o.html").read_text(encoding="utf-8")
        assert "1.25" in (tmp_path / "o.markdown").read_text(encoding="utf-8")
        assert (tmp_path / "o.markdown").read_text(encoding="utf-8").strip() in (tmp_path / "summary.md").read_text()

    def test_an_interrupted_run_writes_what_it_has_and_exits_with_2(
        self, stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        stage.result = replace(stage.result, interrupted=True)
        assert main(["bench", "fused", "--json", "o.json"]) == 2
        data = json.loads((tmp_path / "o.json").read_text())
        assert data["partial"] is True
        assert len(data["measurements"]) == 2
        assert "interrupted; what was measured until then is all there is" in capsys.readouterr().err

    def test_the_exit_code_in_the_file_is_that_of_the_process(self, stage: Stage, tmp_path: Path) -> None:
        for interrupted, outcome in (
            (False, "measured"),
            (False, "wrong"),
            (False, "n/a"),
            (True, "measured"),
            (True, "wrong"),
        ):
            stage.result = Run([made("fused", outcome), made(BASELINE)], {"device": "cpu"}, interrupted)
            code = main(["bench", "fused", "--json", "o.json"])
            assert json.loads((tmp_path / "o.json").read_text())["exit_code"] == code

    def test_where_nothing_was_measured_no_file_is_written(
        self, stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        stage.result = Run(interrupted=True)
        assert main(["bench", "fused", "--json", "o.json"]) == 2
        assert "nothing was measured, so no file was written" in capsys.readouterr().err
        assert not (tmp_path / "o.json").exists()

    def test_a_file_that_cannot_be_written_loses_none_of_the_others(
        self, stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write = Path.write_bytes

        def full(path: Path, data: bytes) -> int:
            if ".json" in path.name:  # written beside its place first, so that nobody finds half of it
                raise OSError(28, os.strerror(28))
            return write(path, data)

        monkeypatch.setattr(Path, "write_bytes", full)
        assert main(["bench", "fused", "--json", "o.json", "--markdown", "o.md"]) == 2
        out, err = capsys.readouterr()
        assert "mhsa: --json o.json: No space left on device" in err
        assert "1.25" in out
        assert (tmp_path / "o.md").exists()
        assert not list(tmp_path.glob("*o.json*"))


def test_a_subject_of_one_size_changes_heads_and_width_of_all_beside_it(folder: Path) -> None:
    name = "subjects.py:small"
    contenders = [Contender.known("fused"), Contender(name, Request(name, f"{folder}/{name}"))]
    for shape in (SHAPES["exercise"], long(8)):
        found = list(Bench(("forward",), 0.01, counted=False).measure(Cell(shape, "float32", "cpu"), contenders))
        assert [m.outcome for m in found] == ["measured", "measured"]
        assert {m.shape for m in found} == {replace(shape, head=3, d_model=24)}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore"), "out of memory (CUDA out of memory. "),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory (DefaultCPUAllocator: "),
        (ValueError("no"), "ValueError: no"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_reasons_are_one_line(error: BaseException, words: str) -> None:
    assert reason_of(error).startswith(words)
    assert "\n" not in reason_of(error)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("wide", SHAPES["wide"]),
        ("  many   heads ", SHAPES["many heads"]),
        ("long 1000", Shape("long 1000", 1, 1000, 8, 256)),
        ("4x128x8x256", Shape("4x128x8x256", 4, 128, 8, 256)),
    ],
)
def test_shapes_have_names_or_sizes(name: str, shape: Shape) -> None:
    assert shape_of(name) == shape


@pytest.mark.parametrize(
    "name", ["", "long", "long 0", "long x", "long -3", "long 999999999", "1x2x3", "1x2x3x4x5", "1x1x3x4", "99999999x1x1x1"]
)
def test_what_is_no_shape_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="shape"):
        shape_of(name)


def test_lengths_are_listed_once_each() -> None:
    assert lengths("16,8, 16") == [16, 8]
    for text in ("", "1,,2", "-1", "1e3", str(2**21)):
        with pytest.raises(argparse.ArgumentTypeError):
            lengths(text)
