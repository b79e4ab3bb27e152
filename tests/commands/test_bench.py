"""``mhsa bench``: whom it times, whom it does not, and what it says and exits with."""

import json
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mhsa.bench.measure.cell import Bench, Cell, reason_of
from mhsa.bench.measure.measurement import BASELINE, PASSES, Contender, Measurement
from mhsa.bench.measure.run import Moment
from mhsa.bench.measure.run import run as really_run
from mhsa.bench.measure.worker import Plan
from mhsa.records.defaults import DTYPES
from mhsa.records.request import Request
from mhsa.records.shape import SHAPES, long, shape_of
from tests.helpers.command_line import run_mhsa
from tests.helpers.places import ROOT
from tests.helpers.timed import SUBJECTS

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
    """Where a subject is wrong it has no figures, in no output; where it is right it is measured, and so is everything else."""

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
    # The folder of its compiler torch makes where operators are first looked at, and keeps it.
    assert [path for path in tmp_path.iterdir() if not path.name.startswith("torchinductor_")] == []


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
