"""Which subjects and benchmarks ``mhsa compare`` and ``mhsa history`` measure, and on what terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mhsa.bench.compare.benchmark import Benchmark, benchmarks_of
from mhsa.bench.compare.settings import Terms
from mhsa.bench.measure.measurement import PASSES
from mhsa.bench.measure.run import TIMEOUT
from mhsa.commands.options.compare import SHAPES, CompareArguments, SelectionArguments
from mhsa.commands.options.declarations import declared_by
from mhsa.commands.verify import named
from mhsa.records.configuration import find, read
from mhsa.records.errors import UsageError
from mhsa.records.request import Request
from mhsa.records.shape import shape_of
from mhsa.run.process_limits import default_memory


def requests_of(args: SelectionArguments, folder: Path, missing: str) -> tuple[Request, ...]:
    """Return the subjects that are named, or else configured in a folder; raise a UsageError if there are none."""
    configuration = read(find(folder))
    requests = named(args.subjects, configuration) if args.subjects else configuration.requests
    if not requests:
        raise UsageError(f"{missing} with --subject, or run mhsa init")
    return tuple(declared_by(args.contract, args.argument, request) for request in requests)


def compared(args: SelectionArguments, folder: Path) -> tuple[tuple[Request, ...], list[Benchmark]]:
    """Return the subjects that two commits are compared by, as the folder of head configures them, and their benchmarks."""
    requests = requests_of(args, folder, "nothing is configured at HEAD: name what is to be compared")
    requests = tuple(replace(r, folder="", device=args.device or r.device) for r in requests)
    return requests, chosen(args, requests)


def terms_of(args: CompareArguments, changed: Sequence[str] | None = None) -> Terms:
    """Return the terms of a comparison; ``changed`` are the files that differ, None if they are not to shorten anything."""
    return Terms(
        threshold=args.threshold / 100 if args.threshold else None, budget=args.budget, apart=args.apart,
        memory=args.memory or default_memory(), timeout=args.timeout or TIMEOUT,
        changed=None if changed is None else tuple(changed),
    )  # fmt: skip


def chosen(args: SelectionArguments, requests: Sequence[Request]) -> list[Benchmark]:
    """Return the benchmarks of subjects, each once."""
    try:
        shapes = tuple({shape.name: shape for shape in map(shape_of, args.shape or SHAPES)}.values())
    except ValueError as error:
        raise UsageError(f"--shape: {error}") from error
    dtypes = tuple(dict.fromkeys(args.dtype)) or ("float32",)
    every = list(benchmarks_of(tuple(requests), tuple(dict.fromkeys(args.passes)) or PASSES, shapes, dtypes))
    found = [b for b in every if args.keyword in b.id]
    if not found:
        raise UsageError(f"no benchmark has {args.keyword!r} in its name; there are: {'; '.join(b.id for b in every)}")
    return found
