"""Which subjects and benchmarks a command line asks for: of ``mhsa compare``, and of ``mhsa history``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mhsa.bench.compare.benchmark import Benchmark, benchmarks_of
from mhsa.bench.measure.measurement import PASSES
from mhsa.commands.options.compare import SHAPES
from mhsa.commands.options.declarations import declared_by
from mhsa.commands.verify import named
from mhsa.records.configuration import ConfigurationError, find, read
from mhsa.records.errors import refuse
from mhsa.records.request import Request
from mhsa.records.shape import shape_of


def requests_of(given: argparse.Namespace, folder: Path, missing: str) -> tuple[Request, ...]:
    """Return the subjects that are named, or else those that are configured in a folder; leave with ``missing`` without any."""
    try:
        configuration = read(find(folder))
    except ConfigurationError as error:
        refuse(str(error))
    requests = named(given.subjects, configuration) if given.subjects else configuration.requests
    if not requests:
        refuse(f"{missing} with --subject, or run mhsa init")
    return tuple(declared_by(given, request) for request in requests)


def compared(given: argparse.Namespace, folder: Path) -> tuple[tuple[Request, ...], list[Benchmark]]:
    """Return the subjects that two commits are compared by, as the folder of head configures them, and their benchmarks."""
    requests = requests_of(given, folder, "nothing is configured at HEAD: name what is to be compared")
    requests = tuple(replace(r, folder="", device=given.device or r.device) for r in requests)
    return requests, chosen(given, requests)


def chosen(given: argparse.Namespace, requests: Sequence[Request]) -> list[Benchmark]:
    """Return the benchmarks of subjects, each once."""
    try:
        shapes = tuple({shape.name: shape for shape in map(shape_of, given.shape or SHAPES)}.values())
    except ValueError as error:
        refuse(f"--shape: {error}")
    dtypes = tuple(dict.fromkeys(given.dtype)) or ("float32",)
    every = list(benchmarks_of(tuple(requests), tuple(dict.fromkeys(given.passes)) or PASSES, shapes, dtypes))
    found = [b for b in every if given.keyword in b.id]
    if not found:
        refuse(f"no benchmark has {given.keyword!r} in its name; there are: {'; '.join(b.id for b in every)}")
    return found
