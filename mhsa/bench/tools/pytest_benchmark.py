"""Benchmarks while one develops, by pytest-benchmark: ``pytest benchmarks --benchmark-only --attention SUBJECT``.

A file of benchmarks imports :func:`pytest_generate_tests` and :func:`attention_call` and defines one test with the arguments
``benchmark`` and ``attention_call``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mhsa.bench.measure.measurement import BASELINE, KNOWN, PASSES, Contender, Pass
from mhsa.records.configuration import ConfigurationError, find, read
from mhsa.records.distribution import install_hint
from mhsa.records.request import Request
from mhsa.records.shape import Shape, shape_of

SHAPES = ("exercise", "encoder 128", "encoder 512")  # where --attention-shape names none: all of them take a minute
COMPARED = ("reference", "fused", "torch", BASELINE)


@dataclass(frozen=True)
class Wanted:
    """One benchmark: an implementation, a shape, and the conditions."""

    contender: Contender
    passes: Pass
    shape: Shape
    dtype: str
    device: str

    @property
    def group(self) -> str:
        """Those that are compared."""
        return f"{self.passes}, {self.shape.name} ({self.shape}), {self.dtype}, {self.device}"

    def __str__(self) -> str:
        return f"{self.contender.name}-{self.passes}-{self.shape.name}-{self.dtype}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a benchmark of each implementation, pass, shape and dtype.

    Raises:
        pytest.Collector.CollectError: pytest-benchmark is not there, or the configuration is wrong.
    """
    if "attention_call" not in metafunc.fixturenames:
        return
    config = metafunc.config
    if not config.pluginmanager.hasplugin("benchmark"):
        raise pytest.Collector.CollectError(f"these are benchmarks for pytest-benchmark: {install_hint('bench')}")
    shapes = [shape_of(name) for name in config.getoption("--attention-shape") or SHAPES]  # the plugin has looked at them
    try:
        contenders = _contenders(config.getoption("--attention"), metafunc.definition.path.parent)
    except ConfigurationError as error:
        raise pytest.Collector.CollectError(str(error)) from None
    device = config.getoption("--attention-device")
    wanted = [
        Wanted(contender, passes, shape, dtype, device)
        for dtype in config.getoption("--attention-dtype") or ("float32",)
        for shape in shapes
        for passes in PASSES
        for contender in contenders
    ]
    metafunc.parametrize("attention_call", wanted, indirect=True, ids=str)


@pytest.fixture
def attention_call(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return the call to be timed, without arguments, once its result is known to be right.

    A wrong result fails the benchmark, as does one that is wrong after it, and what makes a time worthless; what cannot be
    measured skips it, and what cannot even be loaded fails it.
    """
    wanted: Wanted = request.param
    import torch

    from mhsa.bench.measure.cell import reason_of
    from mhsa.bench.measure.expected import rows_of
    from mhsa.bench.measure.honesty.examine import examine_again, examined
    from mhsa.bench.measure.honesty.refused import TimeRefused
    from mhsa.bench.measure.implementation import NotMeasurable, build, call_of

    if torch.device(wanted.device).type == "cuda" and not torch.cuda.is_available():
        pytest.skip("n/a: no CUDA device")
    subject = _loaded()(wanted.contender, wanted.device)
    if isinstance(subject, str):
        pytest.fail(subject, pytrace=False)
    shape = wanted.shape if subject.adapter.sizes is None else wanted.shape.resized(*subject.adapter.sizes)
    try:
        built = build(wanted.contender, subject, shape, wanted.dtype, wanted.device)
        known = _oracle(wanted.passes, shape, wanted.dtype)
        fresh = examined(built, wanted.passes, known)
        fresh.put_back()
    except TimeRefused as refused:
        pytest.fail(refused.words, pytrace=False)
    except NotMeasurable as error:
        pytest.skip(f"n/a: {error}")
    except Exception as error:
        pytest.skip(f"n/a: {reason_of(error)}")
    benchmark = request.getfixturevalue("benchmark")
    benchmark.group = wanted.group
    benchmark.extra_info |= _machine(wanted.device) | {"compared queries": len(rows_of(shape)), "shape": str(shape)}
    call = call_of(built, wanted.passes)
    if torch.device(wanted.device).type == "cuda":
        call = functools.partial(_and_wait, call, wanted.device)
    # Whether this process keeps the memory that it frees is not ours to change: it is the user's, and other tests run in it.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # figures then depend on the code, not on how many cores happen to be idle
    try:
        with torch.set_grad_enabled(wanted.passes == "training"):
            yield call
        examine_again(built, wanted.passes, fresh, known)
    except TimeRefused as refused:
        pytest.fail(refused.words, pytrace=False)
    finally:
        torch.set_num_threads(threads)


def _and_wait(call: Any, device: str) -> None:
    import torch

    call()
    torch.cuda.synchronize(device)


def _contenders(names: list[str], folder: Path) -> list[Contender]:
    """Return what is asked for, or else configured, and what it is compared with."""
    configured = read(find(folder)).requests
    by_label = {request.label: request for request in configured}
    named = [Contender.known(n) if n in KNOWN else Contender.of(by_label.get(n) or Request.of(n)) for n in names]
    named = named if names else [Contender.of(request) for request in configured]
    return list({c.name: c for c in (*named, *map(Contender.known, COMPARED))}.values())


@functools.cache  # made when torch is needed anyway
def _loaded() -> Any:
    from mhsa.bench.measure.implementation import Loaded

    return Loaded()


@functools.lru_cache(maxsize=2)  # neighbours are compared with the same numbers
def _oracle(passes: Pass, shape: Shape, dtype: str) -> Any:
    from mhsa.bench.measure.expected import Oracle

    return Oracle()


@functools.cache
def _machine(device: str) -> dict[str, Any]:
    from mhsa.bench.measure.machine import describe_machine

    return describe_machine(device, 1)
