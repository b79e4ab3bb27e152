"""Subjects from source text, as they are built to be timed."""

import functools
from collections.abc import Callable
from pathlib import Path

from mhsa.bench.measure.correctness import find_mismatch
from mhsa.bench.measure.expected import Oracle
from mhsa.bench.measure.implementation import Built, build, loaded
from mhsa.bench.measure.measurement import KNOWN, Contender, Pass
from mhsa.records.request import Request
from mhsa.records.shape import Shape, shape_of


def maker(file: Path) -> Callable[..., Built]:
    """Return a function that builds a class of the file, or one of mhsa's own, by name; each is understood once."""

    @functools.cache
    def subject_of(name: str):
        contender = Contender.known(name) if name in KNOWN else Contender(name, Request(name, f"{file}:{name}"))
        return contender, loaded(contender, "cpu")

    def build_it(name: str, shape: str | Shape, dtype: str = "float32", *, need_weights: bool | None = None) -> Built:
        contender, subject = subject_of(name)
        if need_weights is not None:
            contender = Contender(contender.name, contender.request, need_weights)
        return build(contender, subject, shape_of(shape) if isinstance(shape, str) else shape, dtype, "cpu")

    return build_it


def verdict(built: Built, passes: Pass) -> str:
    """Return what is untrue, compared with numbers of its own."""
    return find_mismatch(built, passes, Oracle())
