"""The command line of ``mhsa bench``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mhsa.bench.measure.measurement import KNOWN, PASSES
from mhsa.commands.options.arguments import dtype, seconds, size, whole
from mhsa.commands.options.declarations import add_declarations
from mhsa.records.defaults import DTYPES
from mhsa.records.shape import SHAPES

_LONGEST = 2**20  # tokens; nobody has the memory of the scores of more
BUDGET = 0.5  # seconds of blocks: some sixty blocks of a contender, and as many of the floor


def add_bench(subparsers: Any, subject: str) -> None:
    """Add the command; ``subject`` says what a SUBJECT may be."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "bench",
        help="time implementations, once they are known to be right",
        description="Measure time and memory of implementations over the sequence length, beside the reference, the fused "
        "core, torch's module and the floor (four plain projections and scaled_dot_product_attention). Blocks of "
        "milliseconds take turns in one process, so ratios to the floor hold on a busy machine, too. What gives a wrong "
        "result is not timed.",
        epilog="examples: mhsa bench model.py --html bench.html; mhsa bench fused --shape exercise --shape wide; exit codes: 0 "
        "measured, 1 a subject gives a wrong result, 2 a subject could not be measured or bad usage",
    )
    add = parser.add_argument
    add(
        "subjects",
        nargs="*",
        metavar="SUBJECT",
        help=f"{subject}; or one of {', '.join(KNOWN)} (default: what [tool.mhsa.subjects] configures)",
    )
    add("--lengths", type=lengths, metavar="T,T,...", default=[],
        help="sequence lengths of one sequence, 8 heads, d_model 256 (default: 128,256,512,1024,2048)")  # fmt: skip
    add("--shape", action="append", default=[], metavar="SHAPE",
        help=f"{', '.join(SHAPES)}, or sizes as BxTxHxD; repeatable")  # fmt: skip
    add("--pass", dest="passes", action="append", choices=PASSES, default=[],
        help="forward without autograd, or training: forward and backward (default: both)")  # fmt: skip
    add("--dtype", action="append", metavar="DTYPE", type=dtype, default=[],
        help=f"one of {', '.join(DTYPES)}; repeatable (default: float32)")  # fmt: skip
    add("--device", help="where to run: cpu (default), cuda, cuda:1, ...")
    add_declarations(add)
    add("--against", type=lambda text: [name for name in text.split(",") if name], metavar="NAME,...",
        help="what to measure beside, of those names (default: reference,fused,torch; '' for the floor alone)")  # fmt: skip
    add("--budget", type=seconds, default=BUDGET, metavar="SECONDS",
        help=f"for the blocks of one implementation, pass and shape (default: {BUDGET:g})")  # fmt: skip
    add("--threads", type=whole, default=1, metavar="N", help="of torch (default: 1, so that idle cores do not count)")
    add("--counters", action="store_true", help="print operators, floating point operations and allocated bytes, too")
    add("--callgrind", action="store_true", help="count instructions under valgrind, a minute for each figure")
    add("--config", type=Path, metavar="FILE", help="pyproject.toml to read (default: the nearest one with [tool.mhsa])")
    add("--timeout", type=seconds, metavar="SECONDS", help="most for one step, such as a block of calls (default: 300)")
    add("--memory", type=size, metavar="SIZE", help="most for the process, 8GiB say (default: 3/4 of the machine's)")
    add("--no-color", action="store_true", help="plain text, also on a terminal")
    add("--json", type=Path, metavar="FILE", help="write the figures there (format: docs/json.md); - is the standard output")
    add("--png", type=Path, metavar="FILE", help="draw time and memory over the length")
    add("--html", type=Path, metavar="FILE", help="write everything as one page with the picture, which needs no network")
    add("--markdown", type=Path, metavar="FILE", help="write the tables as Markdown")
    parser.set_defaults(run="bench.bench")


def lengths(text: str) -> list[int]:
    """Return sequence lengths of a text such as 128,256."""
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1 or max(found) > _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of lengths from 1 to {_LONGEST}, such as 128,256,512")
    return list(dict.fromkeys(found))
