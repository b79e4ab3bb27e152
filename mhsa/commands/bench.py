"""``mhsa bench``: from arguments and configuration to figures, pictures and an exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mhsa import __version__
from mhsa.bench.measure.measurement import BASELINE, KNOWN, PASSES, REFUSED, Contender, Measurement
from mhsa.commands.frame import frame
from mhsa.commands.options.bench import BenchArguments
from mhsa.commands.options.declarations import declared_by
from mhsa.commands.verify import configured, named
from mhsa.records.distribution import install_hint
from mhsa.records.errors import UsageError
from mhsa.records.shape import Shape, long, shape_of
from mhsa.run.process_limits import default_memory

if TYPE_CHECKING:
    from mhsa.bench.measure.run import Run
    from mhsa.bench.measure.worker import Plan
    from mhsa.records.configuration import Configuration
    from mhsa.records.pyproject.bench_calls import BenchCall

LENGTHS = (128, 256, 512, 1024, 2048)  # of the sweep: the reference's memory reaches 0.4 GiB, and all takes two minutes
COMPARED = ("reference", "fused", "torch")
_DEVICES = ("cpu", "cuda", "mps", "xpu")


def bench(args: BenchArguments) -> int:
    """Measure, show, and write."""
    from mhsa.bench.measure.run import TIMEOUT, run
    from mhsa.bench.report.progress import BenchProgress
    from mhsa.bench.report.table import print_report
    from mhsa.reports.line_folding import hanging, show

    if args.record is not None:
        from mhsa.commands.record import record

        if args.files or args.subjects:
            raise UsageError("--record runs a script and times nothing, so it takes neither subjects nor files to write")
        return record(args.record, configured(args.config))
    with frame(args.files, no_color=args.no_color) as out:
        _require_tools(args)
        configuration = configured(args.config)
        subjects = _subjects(args, configuration)
        plan = _plan(args, configuration, subjects)
        if not subjects and args.against is None:
            from mhsa.commands.no_subject import nothing_named

            raise UsageError(
                f"{nothing_named(configuration, 'mhsa bench')}; `mhsa bench reference fused torch` times what comes with mhsa"
            )
        if words := _about_calls(args, configuration):
            show(out.console, hanging("", words, out.console.width, style="dim"))
        with BenchProgress(out.console, plan) as progress:
            measured = run(plan, progress, args.timeout or TIMEOUT)
        if measured.measurements:
            print_report(out.console, measured.measurements, measured.machine, counters=args.counters or args.callgrind)
        code = 2 if measured.interrupted else exit_code(measured, [c.name for c in subjects or plan.contenders])
        if measured.measurements:
            code = out.finish(code, _writers(measured, code))
        else:
            code = out.finish(code, {}, ["nothing was measured, so no file was written"] if out.files else [])
        if measured.interrupted:
            print("mhsa: interrupted; what was measured until then is all there is", file=sys.stderr)
        return code


def exit_code(run: Run, names: Sequence[str]) -> int:
    """1 if a subject has a wrong result, or a time that is not to be believed, 2 if one was measured nowhere, else 0."""
    of = {name: [m.outcome for m in run.measurements if m.implementation == name] for name in names}
    if any(outcome in REFUSED for outcomes in of.values() for outcome in outcomes):
        return 1
    return 0 if all("measured" in outcomes for outcomes in of.values()) else 2


def _require_tools(args: BenchArguments) -> None:
    import importlib.util
    import shutil

    if args.png is not None and importlib.util.find_spec("matplotlib") is None:
        raise UsageError(f"--png needs the package matplotlib: {install_hint('bench')}")
    if args.callgrind and shutil.which("valgrind") is None:
        raise UsageError("--callgrind needs valgrind (apt-get install valgrind)")
    if args.callgrind and (args.device or "cpu") != "cpu":
        raise UsageError(f"--callgrind counts the instructions of the CPU; given was --device {args.device}")


def _subjects(args: BenchArguments, configuration: Configuration) -> list[Contender]:
    """Return the subjects: names that come with mhsa, configured subjects, objects; without any, what is configured."""
    names = list(dict.fromkeys(args.subjects))
    requests = named([name for name in names if name not in KNOWN], configuration) if names else configuration.requests
    others = iter([Contender.of(declared_by(args.contract, args.argument, request)) for request in requests])
    subjects = [Contender.known(name) if name in KNOWN else next(others) for name in names] if names else list(others)
    if args.faster:
        subjects = [replace(c, request=replace(c.request, faster=args.faster)) for c in subjects]
    return list({c.name: c for c in subjects}.values())


def _plan(args: BenchArguments, configuration: Configuration, subjects: list[Contender]) -> Plan:
    from mhsa.bench.measure.worker import Plan

    compared = args.against if args.against is not None else list(COMPARED)
    for name in compared:
        if name not in KNOWN:
            raise UsageError(f"--against {name!r}; must be one of {', '.join(KNOWN)}")
    contenders = {c.name: c for c in (*subjects, *map(Contender.known, compared), Contender.known(BASELINE))}
    calls = _calls(args, configuration)
    shapes, dtypes = ([], ()) if calls else (_shapes(args), tuple(dict.fromkeys(args.dtype)) or ("float32",))
    device = args.device or next((c.request.device for c in subjects), "cpu")
    if device.partition(":")[0] not in _DEVICES:
        raise UsageError(f"device {device!r}; must be one of {', '.join(_DEVICES)}, or with a number, as cuda:1")
    return Plan(
        contenders=tuple(contenders.values()),
        cells=tuple(
            dict.fromkeys((shape_of(call.shape), dtype, device) for call in calls for dtype in args.dtype or [call.dtype])
            if calls
            else ((shape, dtype, device) for dtype in dtypes for shape in shapes)
        ),
        passes=tuple(dict.fromkeys(args.passes)) or tuple(p for p in PASSES if not calls or any(c.passes == p for c in calls)),
        budget=args.budget,
        callgrind=args.callgrind,
        threads=args.threads,
        memory=args.memory or configuration.memory or default_memory(),
    )


def _calls(args: BenchArguments, configuration: Configuration) -> tuple[BenchCall, ...]:
    """Return the calls that are configured, unless the command line says what is timed."""
    return () if args.shape or args.lengths else configuration.calls


def _about_calls(args: BenchArguments, configuration: Configuration) -> str:
    """Return where shapes come from that the command line does not name, and what of these calls is not timed."""
    calls = _calls(args, configuration)
    if not calls:
        return ""
    masked = sum(bool(call.mask or call.causal) for call in calls)
    rest = f"; {masked} of them have a mask, and are timed without it" if masked else ""
    return f"shapes of {len(calls)} kinds of calls in [tool.mhsa.bench] of {configuration.path}{rest}"


def _shapes(args: BenchArguments) -> list[Shape]:
    try:
        shapes = [shape_of(name) for name in args.shape]
    except ValueError as error:
        raise UsageError(f"--shape: {error}") from error
    lengths = args.lengths or ([] if shapes else list(LENGTHS))
    distinct: dict[str, Shape] = {}
    for shape in (*map(long, lengths), *shapes):
        distinct.setdefault(str(shape), shape)  # under the first of its names
    return list(distinct.values())


def _writers(run: Run, code: int) -> dict[str, Callable[[], str | bytes]]:
    measurements, machine = run.measurements, run.machine

    def as_json() -> str:
        return json.dumps(as_data(measurements, machine, code, partial=run.interrupted), indent=2) + "\n"

    def as_png() -> bytes:
        import io

        from mhsa.bench.report.chart import draw, save_png

        buffer = io.BytesIO()
        save_png(draw(measurements, machine), buffer)
        return buffer.getvalue()

    def as_html() -> str:
        from mhsa.bench.report.bench_page import page

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
