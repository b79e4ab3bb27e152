"""What is measured: commands of mhsa and pytest, each with the file in which its results are kept."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

KERNELS = Path(__file__).with_name("kernels.py")
SUBJECTS = (
    "mhsa:MultiHeadAttention",
    "mhsa:fused_attention",
    "torch.nn:MultiheadAttention",
    "torch.nn.functional:scaled_dot_product_attention",
)
BACKENDS = ("math", "efficient", "cudnn", "flash")
HALVES = ("float16", "bfloat16")
SHAPES = ("exercise", "encoder 512", "long 2048")
SELF_TESTED = "tests/corpus/right/packed_projection.py"


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        name: of the step, and of its file.
        words: what is measured.
        command: what is run, after ``python -m``.
        seconds: what it may take at most.
        json: whether the results are the JSON of a command of mhsa, or pytest's words.
    """

    name: str
    words: str
    command: tuple[str, ...]
    seconds: int
    json: bool = True

    def file(self, folder: Path) -> Path:
        """Return where the results are kept."""
        return folder / f"{self.name}.{'json' if self.json else 'txt'}"

    def is_measured(self, folder: Path) -> bool:
        """Whether the results are there, and whole: a self-test keeps what it has so far, too."""
        file = self.file(folder)
        return file.is_file() and not (self.json and json.loads(file.read_text()).get("partial"))

    def run(self, folder: Path) -> list[str]:
        """Return the whole command line."""
        written = ("--json", str(self.file(folder))) if self.json else ()
        return [sys.executable, "-m", *self.command, *written]


def steps(device: str, *, self_test: int = 30) -> tuple[Step, ...]:
    """Return all steps, the shortest first.

    Args:
        device: cuda, or cpu where only the commands are to be tried.
        self_test: seconds of each comparison of the self-test.
    """
    on = ("--device", device)
    backends = tuple(f"{KERNELS}:{name}" for name in BACKENDS)
    verify = ("mhsa", "verify", "--no-diagnosis", "--exit-zero", "--no-color", *on)
    shapes = tuple(word for shape in SHAPES for word in ("--shape", shape))
    halves = tuple(word for dtype in HALVES for word in ("--dtype", dtype))
    return (
        Step(
            "counting",
            "kernels and bytes are counted",
            ("pytest", "-q", "tests/bench/measure/test_counting.py", "-k", "TestOnAGpu"),
            60,
            json=False,
        ),
        Step("verdicts-wide", "verdicts in float64 and float32", (*verify, *SUBJECTS), 90),
        *(
            Step(f"verdicts-{dtype}", f"verdicts in {dtype}", (*verify, "--dtype", dtype, *SUBJECTS, *backends), 150)
            for dtype in HALVES
        ),
        Step("speed", "times in both half formats", ("mhsa", "bench", "fused", *on, *shapes, *halves, "--budget", "1"), 150),
        Step(
            "self-test",
            "slow-downs of 3 to 20 per cent, made by a kernel that waits",
            (
                "mhsa",
                "compare",
                "--self-test",
                "--runs",
                "1",
                "--no-verify",
                "--subject",
                SELF_TESTED,
                *on,
                "--shape",
                "encoder 512",
                "--dtype",
                "float16",
                "--budget",
                str(self_test),
            ),
            240,
        ),
    )
