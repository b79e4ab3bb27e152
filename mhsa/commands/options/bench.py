"""The command line of ``mhsa bench``."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mhsa.bench.measure.measurement import KNOWN, PASSES, Pass
from mhsa.commands.options.declarations import add_declarations
from mhsa.commands.options.kinds import dtype, seconds, size, whole
from mhsa.commands.options.shared import CONFIG, DEVICE, JSON, SUBJECT, Arguments, add_command, add_no_color, files
from mhsa.records.defaults import DTYPES
from mhsa.records.shape import SHAPES

_LONGEST = 2**20  # tokens; no machine has the memory of the scores of more
BUDGET = 0.5  # seconds of blocks: some sixty blocks of a contender, and as many of the baseline


@dataclass(frozen=True)
class BenchArguments(Arguments):
    """The arguments of ``mhsa bench``."""

    subjects: list[str]
    lengths: list[int]
    shape: list[str]
    passes: list[Pass]
    dtype: list[str]
    device: str | None
    contract: list[tuple[str, Any]]
    argument: list[tuple[str, Any]]
    against: list[str] | None
    record: list[str] | None
    budget: float
    faster: str
    threads: int
    counters: bool
    callgrind: bool
    config: Path | None
    timeout: float | None
    memory: int | None
    no_color: bool
    json: Path | None
    png: Path | None
    html: Path | None
    markdown: Path | None

    @property
    def files(self) -> dict[str, Path]:
        """What to write, by format."""
        return files(json=self.json, png=self.png, html=self.html, markdown=self.markdown)


def add_bench(subparsers: Any) -> None:
    """Add the command."""
    parser = add_command(
        subparsers, "bench", BenchArguments, needs_torch=True,
        help="time implementations whose results are right",
        description="Measure time and memory of implementations over the sequence length, and of the reference, the fused "
        "core, torch's module and the baseline (four plain projections and scaled_dot_product_attention). Blocks of "
        "milliseconds alternate in one process, so ratios to the baseline hold on a busy machine, too. Results are checked "
        "before they are timed, and again after it; a time that says something else than how long the computation takes (kept "
        "answers, work that goes on after the call, a time that the machine cannot reach) is suspect.",
        epilog="examples: mhsa bench model.py --html bench.html; mhsa bench fused --shape exercise --shape wide; "
        "mhsa bench --record -- python train.py --epochs 1; exit codes: 0 measured, 1 a subject gives a wrong result or a time "
        "is suspect, 2 a subject could not be measured or bad usage",
    )  # fmt: skip
    add = parser.add_argument
    add(
        "subjects",
        nargs="*",
        metavar="SUBJECT",
        help=f"{SUBJECT}; or one of {', '.join(KNOWN)} (default: what [tool.mhsa.subjects] configures)",
    )
    add("--lengths", type=lengths, metavar="T,T,...", default=[],
        help="lengths of a batch of one sequence, 8 heads, d_model 256 (default: 128,256,512,1024,2048)")  # fmt: skip
    add("--shape", action="append", default=[], metavar="SHAPE",
        help=f"{', '.join(SHAPES)}, or sizes as BxTxHxD, or BxQ/KxHxD for Q queries and K keys, 1x1/2048x8x256 say; repeatable "
        "(default: the calls in [tool.mhsa.bench], if there are any, and no --lengths)")  # fmt: skip
    add("--pass", dest="passes", action="append", choices=PASSES, default=[],
        help="forward without autograd, or training: forward and backward (default: both)")  # fmt: skip
    add("--dtype", action="append", metavar="DTYPE", type=dtype, default=[],
        help=f"one of {', '.join(DTYPES)}; repeatable (default: float32)")  # fmt: skip
    add("--device", help=DEVICE)
    add_declarations(add)
    add("--against", type=lambda text: [name for name in text.split(",") if name], metavar="NAME,...",
        help="what to measure for comparison (default: reference,fused,torch; '' for the baseline alone)")  # fmt: skip
    add("--record", nargs=argparse.REMAINDER, metavar="...",
        help="the last option: run a Python script with its arguments, or -m MODULE, keep the shapes, dtypes and masks with "
        "which it calls attention, and write the most frequent ones to [tool.mhsa.bench]; nothing is timed")  # fmt: skip
    add("--budget", type=seconds, default=BUDGET, metavar="SECONDS",
        help=f"time for the blocks of one implementation, pass and shape (default: {BUDGET:g})")  # fmt: skip
    add("--faster", default="", metavar="REASON",
        help="declare why a subject may take less than 0.6 times the baseline's time, which is suspect otherwise (in the "
        "configuration: faster)")  # fmt: skip
    add("--threads", type=whole, default=1, metavar="N",
        help="number of threads that torch uses (default: 1, so that idle cores do not count)")  # fmt: skip
    add("--counters", action="store_true", help="also print operators, floating point operations and allocated bytes")
    add("--callgrind", action="store_true", help="also count instructions under valgrind, which takes a minute per figure")
    add("--config", type=Path, metavar="FILE", help=CONFIG)
    add("--timeout", type=seconds, metavar="SECONDS", help="time limit per step, such as a block of calls (default: 300)")
    add("--memory", type=size, metavar="SIZE", help="memory limit, e.g. 8GiB (default: 3/4 of the machine's memory)")
    add_no_color(add)
    add("--json", type=Path, metavar="FILE", help=JSON)
    add("--png", type=Path, metavar="FILE", help="draw time and memory over the length")
    add("--html", type=Path, metavar="FILE", help="write everything as one page with the picture, which needs no network")
    add("--markdown", type=Path, metavar="FILE", help="write the tables as Markdown")


def lengths(text: str) -> list[int]:
    """Return sequence lengths of a text such as 128,256."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1 or max(numbers) > _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of lengths from 1 to {_LONGEST}, such as 128,256,512")
    return list(dict.fromkeys(numbers))
