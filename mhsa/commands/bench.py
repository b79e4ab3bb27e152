"""``mhsa bench``: from what was asked and configured to figures, pictures and an exit code."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mhsa import __version__
from mhsa.bench.measure.measurement import FLOOR, KNOWN, PASSES, Contender, Measurement
from mhsa.commands.options.declarations import declared_by
from mhsa.commands.verify import configured, named
from mhsa.records.distribution import install_hint
from mhsa.records.errors import refuse
from mhsa.records.shape import Shape, long, shape_of
from mhsa.reports.write import require_places, write_reports
from mhsa.run.process_limits import default_memory

if TYPE_CHECKING:
    from mhsa.bench.measure.run import Run
    from mhsa.bench.measure.worker import Plan
    from mhsa.records.configuration import Configuration

LENGTHS = (128, 256, 512, 1024, 2048)  # of the sweep: the reference's memory reaches 0.4 GiB, and all takes two minutes
RIVALS = ("reference", "fused", "torch")
_DEVICES = ("cpu", "cuda", "mps", "xpu")
_FORMATS = ("json", "png", "html", "markdown")


def bench(given: argparse.Namespace) -> int:
    """Measure, show, and write what was asked for."""
    import signal

    from mhsa.bench.measure.run import TIMEOUT, run
    from mhsa.bench.report.progress import Progress
    from mhsa.bench.report.table import print_report
    from mhsa.commands.verify import as_interrupt
    from mhsa.reports.line_folding import wide_console

    require_places(given, _FORMATS)
    _require_tools(given)
    configuration = configured(given)
    subjects = _subjects(given, configuration)
    plan = _plan(given, configuration, subjects)
    if not subjects and given.against is None:
        from mhsa.commands.no_subject import nothing_named

        refuse(f"{nothing_named(configuration, 'mhsa bench')}; `mhsa bench reference fused torch` times what comes with mhsa")
    console = wide_console(no_color=given.no_color, stderr=str(given.json) == "-")
    signal.signal(signal.SIGTERM, as_interrupt)
    with Progress(console, plan) as progress:
        found = run(plan, progress, given.timeout or TIMEOUT)
    if found.measurements:
        print_report(console, found.measurements, found.machine, counters=given.counters or given.callgrind)
    code = 2 if found.interrupted else exit_code(found, [c.name for c in subjects or plan.contenders])
    problems = _write(given, found, code)
    for problem in problems:
        print(f"mhsa: {problem}", file=sys.stderr)
    if found.interrupted:
        print("mhsa: interrupted; what was measured until then is all there is", file=sys.stderr)
    return 2 if problems else code


def exit_code(found: Run, names: Sequence[str]) -> int:
    """1 if what was asked for gives a wrong result anywhere, 2 if one of it was measured nowhere, else 0."""
    of = {name: [m.outcome for m in found.measurements if m.implementation == name] for name in names}
    if any("wrong" in outcomes for outcomes in of.values()):
        return 1
    return 0 if all("measured" in outcomes for outcomes in of.values()) else 2


def _require_tools(given: argparse.Namespace) -> None:
    import importlib.util
    import shutil

    if given.png is not None and importlib.util.find_spec("matplotlib") is None:
        refuse(f"--png needs the package matplotlib: {install_hint('bench')}")
    if given.callgrind and shutil.which("valgrind") is None:
        refuse("--callgrind needs valgrind (apt-get install valgrind)")
    if given.callgrind and (given.device or "cpu") != "cpu":
        refuse(f"--callgrind counts the instructions of the CPU; given was --device {given.device}")


def _subjects(given: argparse.Namespace, configuration: Configuration) -> list[Contender]:
    """Return what is asked for: names that come with mhsa, configured subjects, objects; without any, what is configured."""
    if not given.subjects:
        asked = [Contender.of(declared_by(given, request)) for request in configuration.requests]
    else:
        others = iter(named([name for name in dict.fromkeys(given.subjects) if name not in KNOWN], configuration))
        asked = [
            Contender.known(name) if name in KNOWN else Contender.of(declared_by(given, next(others)))
            for name in dict.fromkeys(given.subjects)
        ]
    return list({c.name: c for c in asked}.values())


def _plan(given: argparse.Namespace, configuration: Configuration, subjects: list[Contender]) -> Plan:
    from mhsa.bench.measure.worker import Plan

    rivals = given.against if given.against is not None else list(RIVALS)
    for name in rivals:
        if name not in KNOWN:
            refuse(f"--against {name!r}; must be one of {', '.join(KNOWN)}")
    contenders = {c.name: c for c in (*subjects, *map(Contender.known, rivals), Contender.known(FLOOR))}
    shapes = _shapes(given)
    dtypes = tuple(dict.fromkeys(given.dtype)) or ("float32",)
    device = given.device or next((c.request.device for c in subjects), "cpu")
    if device.partition(":")[0] not in _DEVICES:
        refuse(f"device {device!r}; must be one of {', '.join(_DEVICES)}, or with a number, as cuda:1")
    return Plan(
        contenders=tuple(contenders.values()),
        cells=tuple((shape, dtype, device) for dtype in dtypes for shape in shapes),
        passes=tuple(dict.fromkeys(given.passes)) or PASSES,
        budget=given.budget,
        callgrind=given.callgrind,
        threads=given.threads,
        memory=given.memory or configuration.memory or default_memory(),
    )


def _shapes(given: argparse.Namespace) -> list[Shape]:
    try:
        shapes = [shape_of(name) for name in given.shape]
    except ValueError as error:
        refuse(f"--shape: {error}")
    lengths = given.lengths or ([] if shapes else list(LENGTHS))
    found: dict[str, Shape] = {}
    for shape in (*map(long, lengths), *shapes):
        found.setdefault(str(shape), shape)  # under the first of its names
    return list(found.values())


def _write(given: argparse.Namespace, found: Run, code: int) -> list[str]:
    """Write the files that were asked for; return what could not be written, after all the others are."""
    if not found.measurements:
        return ["nothing was measured, so no file was written"] if any(getattr(given, f) for f in _FORMATS) else []
    return write_reports(given, _writers(found, code))


def _writers(found: Run, code: int) -> dict[str, Callable[[], str | bytes]]:
    measurements, machine = found.measurements, found.machine

    def as_json() -> str:
        return json.dumps(as_data(measurements, machine, code, partial=found.interrupted), indent=2) + "\n"

    def as_png() -> bytes:
        import io

        from mhsa.bench.report.chart import draw, save_png

        buffer = io.BytesIO()
        save_png(draw(measurements, machine), buffer)
        return buffer.getvalue()

    def as_html() -> str:
        from mhsa.bench.report.page import page

        return page(measurements, machine)

    def as_markdown() -> str:
        from mhsa.bench.report.markdown import markdown

        return markdown(measurements, machine)

    return {"json": as_json, "png": as_png, "html": as_html, "markdown": as_markdown}


def as_data(
    measurements: Sequence[Measurement], machine: dict[str, Any], code: int, *, partial: bool = False
) -> dict[str, Any]:
    """Return everything about a run, ready for JSON; docs/json.md describes it."""
    return {
        "schema": "mhsa-bench-1",
        "mhsa": __version__,
        "exit_code": code,
        "partial": partial,
        "machine": machine,
        "measurements": [m.as_dict() for m in measurements],
    }
