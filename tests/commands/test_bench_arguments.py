"""The arguments of ``mhsa bench``: mistakes, the plan that follows from them, and what becomes of the result."""

import argparse
import importlib.util
import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mhsa.bench.measure.measurement import BASELINE, KNOWN, PASSES
from mhsa.bench.measure.run import Moment, Run
from mhsa.bench.measure.worker import Plan
from mhsa.commands.bench import COMPARED, LENGTHS, exit_code
from mhsa.commands.cli import main
from mhsa.commands.options.bench import lengths
from mhsa.records.distribution import install_hint
from mhsa.records.shape import SHAPES, long, shape_of
from tests.helpers.timed import SUBJECTS, made


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
        assert [c.name for c in plan.contenders[3:]] == ["torch", BASELINE]  # in addition, and each once
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

    def test_configured_calls_are_timed_unless_shapes_are_named(
        self, stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "pyproject.toml").write_text(
            "[tool.mhsa.bench]\ncalls = [\n"
            '  { shape = "1x1/64x4x32", dtype = "float16", count = 9, mask = "bool [B, Tk]" },\n'
            '  { shape = "2x16x4x32", dtype = "float32", pass = "forward", causal = true },\n'
            '  { shape = "2x16x4x32", dtype = "float32" },\n]\n'
        )
        plan = self.plan(stage, "fused")
        assert plan.cells == ((shape_of("1x1/64x4x32"), "float16", "cpu"), (shape_of("2x16x4x32"), "float32", "cpu"))
        assert plan.passes == ("forward",)
        out = capsys.readouterr().out
        assert "shapes of 3 kinds of calls in [tool.mhsa.bench]" in out
        assert "2 of them have a mask, and are timed without it" in " ".join(out.split())
        stage.plans.clear()
        plan = self.plan(stage, "fused", "--shape", "wide")
        assert (plan.cells, plan.passes) == (((SHAPES["wide"], "float32", "cpu"),), ("forward", "training"))

    def test_a_reason_to_be_faster_is_declared_for_subjects(self, stage: Stage, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").write_text(
            '[tool.mhsa.subjects.mine]\nsubject = "m.py:A"\nfaster = "a kernel"\n'
            '[tool.mhsa.subjects.plain]\nsubject = "m.py:B"\n'
        )
        options = ("--against", "torch", "--shape", "exercise")
        assert [c.request.faster for c in self.plan(stage, *options).contenders] == ["a kernel", "", "", ""]
        stage.plans.clear()
        plan = self.plan(stage, "plain", *options, "--faster", "a cache")
        assert [c.request.faster for c in plan.contenders] == ["a cache", "", ""]

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
            ({"a": ["measured", "suspect"], "b": ["n/a"]}, 1),
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
            if ".json" in path.name:  # written under another name first, so that no reader finds half of it
                raise OSError(28, os.strerror(28))
            return write(path, data)

        monkeypatch.setattr(Path, "write_bytes", full)
        assert main(["bench", "fused", "--json", "o.json", "--markdown", "o.md"]) == 2
        out, err = capsys.readouterr()
        assert "mhsa: --json o.json: No space left on device" in err
        assert "1.25" in out
        assert (tmp_path / "o.md").exists()
        assert not list(tmp_path.glob("*o.json*"))


def test_lengths_are_listed_once_each() -> None:
    assert lengths("16,8, 16") == [16, 8]
    for text in ("", "1,,2", "-1", "1e3", str(2**21)):
        with pytest.raises(argparse.ArgumentTypeError):
            lengths(text)
