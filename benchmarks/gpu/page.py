"""The part of docs/gpu.md that one run of ``make gpu`` has measured, made of the files that its steps have written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.steps import HALVES, SHAPES, Step
from mhsa.bench.measure.machine import one_line
from mhsa.bench.measure.measurement import PASSES, Measurement
from mhsa.bench.report import format as wording
from mhsa.records.shape import shape_of

BEGIN = "<!-- make gpu writes what follows -->"
END = "<!-- until here -->"
_JUDGED = ("pass", "fail", "error", "expected-failure", "unexpected-pass")


def replaced(page: str, part: str) -> str:
    """Return a page with what stands between the two marks replaced.

    Raises:
        ValueError: the page does not have both marks, in this order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/gpu.md needs the lines {BEGIN!r} and {END!r}, and the results stand between them")
    return f"{before}{BEGIN}\n\n{part.strip()}\n\n{END}{after}"


def part(steps: Sequence[Step], folder: Path) -> str:
    """Return what the files say; a step without one is named as not measured."""
    there = [step for step in steps if step.is_measured(folder)]
    missing = [step.words for step in steps if step not in there]
    data = {step.name: json.loads(step.file(folder).read_text()) for step in there if step.json}
    counted = next((step.file(folder).read_text() for step in there if not step.json), "")
    lines = [*_where(data), *_verdicts(data), *_speed(data.get("speed")), *_self_test(data.get("self-test"))]
    if counted:
        lines += ["", f"Kernels and bytes are counted (`TestOnAGpu`): {counted.strip().splitlines()[-1].strip('= ')}."]
    if missing:
        lines += ["", f"Not measured in this run: {', '.join(missing)}."]
    return "\n".join(lines)


def _where(data: dict[str, Any]) -> list[str]:
    machine = data.get("speed", {}).get("machine") or data.get("self-test", {}).get("machine")
    if machine:
        return [f"On {one_line(machine)}."]
    environments = [report["environment"] for report in data.values() if "environment" in report]
    return [f"With torch {environments[0].get('torch', 'of an unknown version')}."] if environments else []


def _verdicts(data: dict[str, Any]) -> list[str]:
    columns = {"verdicts-wide": "float64, float32", **{f"verdicts-{dtype}": dtype for dtype in HALVES}}
    found: dict[str, dict[str, str]] = {}
    failed: dict[str, list[str]] = {}
    for name in columns:
        for subject in data.get(name, {}).get("subjects", ()):
            label = subject["label"].rpartition("/")[2]
            judged = [p for p in subject["properties"] if p["outcome"] in _JUDGED]
            wrong = [p["id"] for p in judged if p["outcome"] == "fail"]
            words = f"{len(wrong)} of {len(judged)} fail" if wrong else f"{subject['verdict']}, {len(judged)}"
            found.setdefault(label, {})[name] = words
            if wrong:
                failed.setdefault(f"`{label}` in {columns[name]}", []).extend(wrong)
    if not found:
        return []
    rows = [
        f"| `{label}` | {' | '.join(cells.get(name, 'not judged') for name in columns)} |" for label, cells in found.items()
    ]
    what = [f"- {where}: {', '.join(f'`{identity}`' for identity in ids)}" for where, ids in failed.items()]
    return [
        "",
        f"| subject | {' | '.join(columns.values())} |",
        "|---" * (len(columns) + 1) + "|",
        *rows,
        *([""] if what else []),
        *what,
    ]


def _speed(data: dict[str, Any] | None) -> list[str]:
    if data is None:
        return []
    found = {(m.implementation, m.passes, str(m.shape), m.dtype): m for m in map(Measurement.of_dict, data["measurements"])}
    names = ("fused", "reference", "torch", "baseline")
    lines = []
    for dtype in HALVES:
        lines += ["", f"| {dtype} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
        for passes in PASSES:
            for shape in SHAPES:
                cells = [_cell(found.get((name, passes, str(shape_of(shape)), dtype))) for name in names]
                lines.append(f"| {passes}, {shape} | {' | '.join(cells)} |")
    return lines


def _cell(m: Measurement | None) -> str:
    if m is None or m.seconds is None:
        return m.words if m is not None else "not measured"
    ratio = "" if m.ratio is None or m.implementation == "baseline" else f", {m.ratio:.3g}x"
    return f"{wording.seconds(m.seconds)}{ratio}"


def _self_test(data: dict[str, Any] | None) -> list[str]:
    if data is None:
        return []
    lines = ["", "| `mhsa compare`, slower by | comparisons | called slower | ratio |", "|---|---|---|---|"]
    for tally in data["tallies"]:
        done = f"{100 * tally['slow_down']:g} %" if tally["slow_down"] else "nothing"
        ratio = "-" if tally["ratio"] is None else f"{tally['ratio']:.3f}"
        lines.append(f"| {done} | {tally['comparisons']} | {tally['accused']} | {ratio} |")
    return lines
