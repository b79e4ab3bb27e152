"""mhsa bench: a wrong result is never timed, what cannot be measured says why, and the rest is measured all the same."""

import json
import textwrap
from pathlib import Path

import pytest

from mhsa.commands.cli import main

MODULE = """
import math
import os
import time

import torch
from torch import nn


class Right(nn.Module):
    def __init__(self, d_model: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def scores(self, q, k):
        return (q @ k.mT) / math.sqrt(q.size(-1))

    def forward(self, query, key, value, mask=None):
        batch, length, width = query.shape
        q, k, v = (
            linear(x).view(batch, -1, self.heads, width // self.heads).transpose(1, 2)
            for linear, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        scores = self.scores(q, k)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], -math.inf)
        return self.o((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, width))


class WrongInHalf(Right):
    def scores(self, q, k):
        return super().scores(q, k) * (1.25 if q.dtype == torch.bfloat16 else 1.0)


class LosesAKey(Right):
    def scores(self, q, k):
        scores = super().scores(q, k)
        if scores.size(-1) <= 100:
            return scores
        return scores.masked_fill(torch.arange(scores.size(-1)) == 99, -math.inf)


class NoGradientOfKeys(Right):
    def scores(self, q, k):
        return super().scores(q, k.detach())


class Dies(Right):
    def scores(self, q, k):
        if q.size(-2) == 24:
            os._exit(7)
        return super().scores(q, k)


class Hangs(Right):
    def scores(self, q, k):
        if q.size(-2) == 24:
            time.sleep(600)
        return super().scores(q, k)


class NeedsMemory(Right):
    def scores(self, q, k):
        if q.size(-2) == 24:
            torch.empty(2**36, dtype=torch.uint8)
        return super().scores(q, k)


class NoFloat16(Right):
    def scores(self, q, k):
        if q.dtype == torch.float16:
            raise TypeError("no float16 here")
        return super().scores(q, k)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(textwrap.dedent(MODULE))
    return tmp_path


def bench(*arguments: str) -> tuple[int, dict]:
    """Run it with little effort; return its exit code, and what it wrote, by (implementation, pass, length, dtype)."""
    code = main(["bench", *arguments, "--against", "", "--budget", "0.02", "--json", "out.json", "--no-color"])
    data = json.loads(Path("out.json").read_text())
    assert data["exit_code"] == code
    return code, {(m["implementation"], m["passes"], m["shape"]["length"], m["dtype"]): m for m in data["measurements"]}


def test_a_right_subject_is_measured(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = bench(
        "model.py:Right", "--lengths", "16,24,32", "--html", "out.html", "--markdown", "out.md", "--png", "out.png"
    )
    assert code == 0
    for passes in ("forward", "training"):
        for length in (16, 24, 32):
            m = found["model.py:Right", passes, length, "float32"]
            assert m["outcome"] == "measured"
            assert m["seconds"] > 0
            assert m["low"] <= m["ratio"] <= m["high"]
            assert m["rows"] == length
            assert m["counters"]["peak"] > 0
            assert m["counters"]["flops"] > 0
    out = capsys.readouterr().out
    assert "threads 1" in out
    assert "growth with the sequence length" in out
    assert "<svg" in Path("out.html").read_text()
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")
    assert "| long 24 " in Path("out.md").read_text()


def test_right_in_float64_and_wrong_in_bfloat16_is_timed_in_one_and_refused_in_the_other(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = bench("model.py:WrongInHalf", "--lengths", "32", "--dtype", "float64", "--dtype", "bfloat16")
    assert code == 1
    for passes in ("forward", "training"):
        assert found["model.py:WrongInHalf", passes, 32, "float64"]["outcome"] == "measured"
        wrong = found["model.py:WrongInHalf", passes, 32, "bfloat16"]
        assert (wrong["outcome"], wrong["seconds"], wrong["ratio"]) == ("wrong", None, None)
        assert found["baseline", passes, 32, "bfloat16"]["outcome"] == "measured"
    assert "failed: wrong result: output" in capsys.readouterr().out


def test_a_key_that_is_lost_in_long_sequences_is_seen_in_every_dtype(here: Path) -> None:
    dtypes = [part for dtype in ("float64", "float32", "bfloat16", "float16") for part in ("--dtype", dtype)]
    code, found = bench("model.py:LosesAKey", "--lengths", "64,128", "--pass", "forward", *dtypes)
    assert code == 1
    outcomes = {(length, m["outcome"]) for (name, _, length, _), m in found.items() if name == "model.py:LosesAKey"}
    assert outcomes == {(64, "measured"), (128, "wrong")}


def test_a_wrong_gradient_is_seen_in_training_only(here: Path) -> None:
    code, found = bench("model.py:NoGradientOfKeys", "--lengths", "16")
    assert code == 1
    assert found["model.py:NoGradientOfKeys", "forward", 16, "float32"]["outcome"] == "measured"
    assert found["model.py:NoGradientOfKeys", "training", 16, "float32"]["reason"].startswith("gradient")


@pytest.mark.parametrize(
    ("name", "more", "reason"),
    [
        ("Dies", [], "the process ended with exit code 7 while model.py:Dies was in: a first call"),
        (
            "Hangs",
            ["--timeout", "6"],
            "did not end within 6 s, so it was ended (--timeout) while model.py:Hangs was in: a first call",
        ),
        ("NeedsMemory", ["--memory", "1GiB"], "out of memory"),
    ],
)
def test_what_cannot_be_measured_says_why_and_the_rest_is_measured(here: Path, name: str, more: list[str], reason: str) -> None:
    code, found = bench(f"model.py:{name}", "--lengths", "16,24,32", "--pass", "forward", *more)
    assert code == 0
    for (who, _, length, _), m in found.items():
        if who.endswith(name) and length == 24:
            assert (m["outcome"], m["seconds"]) == ("n/a", None)
            assert m["reason"].startswith(reason)
        else:
            assert m["outcome"] == "measured"


def test_a_dtype_that_it_does_not_take(here: Path) -> None:
    code, found = bench(
        "model.py:NoFloat16", "--lengths", "16", "--pass", "forward", "--dtype", "float16", "--dtype", "float32"
    )
    assert code == 0
    refused = found["model.py:NoFloat16", "forward", 16, "float16"]
    assert refused["outcome"] == "n/a"
    assert refused["reason"].startswith("TypeError: no float16 here")
    assert found["model.py:NoFloat16", "forward", 16, "float32"]["outcome"] == "measured"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--shape", "excercise"], "did you mean 'exercise'?"),
        (["--shape", "2x8x3x8"], "d_model a multiple of the heads"),
        (["--against", "numpy"], "must be one of baseline, reference, fused, torch"),
        (["--lengths", "0"], "not a list of lengths"),
        (["--png", "nowhere/x.png"], "there is no folder"),
        (["--callgrind", "--device", "cuda"], "counts the instructions of the CPU"),
    ],
)
def test_bad_usage(here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["bench", *arguments])
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


def test_a_subject_that_is_measured_nowhere(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("modle.py", "--lengths", "16", "--pass", "forward")[0] == 2
    assert "did you mean model.py?" in capsys.readouterr().out


def test_no_gpu(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert bench("fused", "--lengths", "16", "--pass", "forward", "--device", "cuda")[0] == 2
    assert "fused: n/a: no CUDA device" in capsys.readouterr().out
