"""``make gpu``: what its page says of results, and that it measures nothing without a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu.page import BEGIN, END, part, replaced
from benchmarks.gpu.steps import KERNELS, Step, steps
from mhsa.bench.measure.measurement import Measurement
from mhsa.records.shape import shape_of

ROOT = Path(__file__).resolve().parents[3]
STEPS = steps("cuda")


def keep(folder: Path, name: str, data: object) -> None:
    step = next(step for step in STEPS if step.name == name)
    step.file(folder).write_text(data if isinstance(data, str) else json.dumps(data))


def subject(label: str, verdict: str, *outcomes: str) -> dict[str, object]:
    properties = [{"id": f"masks.number_{n}", "outcome": outcome} for n, outcome in enumerate(outcomes)]
    return {"label": label, "verdict": verdict, "properties": properties}


def test_verdicts_stand_in_one_table_with_what_fails(tmp_path: Path) -> None:
    keep(
        tmp_path, "verdicts-wide", {"subjects": [subject("m:A", "holds", "pass", "pass", "not-applicable")], "environment": {}}
    )
    halves = [subject("m:A", "violated", "pass", "fail"), subject(f"{KERNELS}:flash", "holds", "pass")]
    keep(tmp_path, "verdicts-float16", {"subjects": halves, "environment": {}})
    lines = part(STEPS, tmp_path).splitlines()
    assert "| subject | float64, float32 | float16 | bfloat16 |" in lines
    assert "| `m:A` | holds, 2 | 1 of 2 fail | not judged |" in lines
    assert "| `kernels.py:flash` | not judged | holds, 1 | not judged |" in lines
    assert "- `m:A` in float16: `masks.number_1`" in lines


def test_times_and_the_self_test_are_tables(tmp_path: Path) -> None:
    shape = shape_of("exercise")
    measured = Measurement(
        "fused", "forward", shape, "float16", "cuda", "measured", seconds=2e-4, ratio=1.04, low=1.0, high=1.1
    )
    keep(tmp_path, "speed", {"machine": {}, "measurements": [measured.as_dict()]})
    tallies = [{"slow_down": 0.03, "comparisons": 2, "accused": 1, "ratio": 1.031}]
    keep(tmp_path, "self-test", {"machine": {}, "tallies": tallies})
    keep(tmp_path, "counting", "..\n2 passed, 11 deselected in 4.1s\n")
    words = part(STEPS, tmp_path)
    assert "| forward, exercise | 200 us, 1.04x | not measured | not measured | not measured |" in words
    assert "| 3 % | 2 | 1 | 1.031 |" in words
    assert "(`TestOnAGpu`): 2 passed, 11 deselected in 4.1s." in words


def test_what_was_not_measured_is_said(tmp_path: Path) -> None:
    words = part(STEPS, tmp_path)
    assert all(step.words in words for step in STEPS)
    assert "Not measured in this run" in words


def test_a_self_test_that_was_interrupted_is_not_measured(tmp_path: Path) -> None:
    keep(tmp_path, "self-test", {"machine": {}, "partial": True, "tallies": []})
    step = next(step for step in STEPS if step.name == "self-test")
    assert not step.is_measured(tmp_path)
    assert step.words in part(STEPS, tmp_path)


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replaced(page, "new\n") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    for broken in ("nothing", f"{BEGIN}\n", f"{END} {BEGIN}"):
        with pytest.raises(ValueError, match=r"docs/gpu.md needs the lines"):
            replaced(broken, "new")


def test_the_page_has_the_marks() -> None:
    assert "x" in replaced((ROOT / "docs" / "gpu.md").read_text(), "x")


def test_all_steps_together_may_take_under_a_quarter_of_an_hour() -> None:
    """Limits, not times: one that is reached has failed. Names are those of files, so they differ."""
    assert sum(step.seconds for step in STEPS) < 900
    assert len({step.file(Path()) for step in STEPS}) == len(STEPS)
    assert all(isinstance(step, Step) for step in STEPS)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured_and_the_exit_code_is_2() -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks.gpu"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "torch finds no GPU here" in done.stderr
    assert not done.stdout
