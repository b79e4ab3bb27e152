"""What one failed property met: the law, the observation, the smallest case, its numbers and how to see it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from mhsa.records.catalogue import Property
from mhsa.reports.html.heatmap import HeatmapData, compare, neutral, permission, plain
from mhsa.reports.html.markup import Child, Markup, breakable, definitions, join, tag
from mhsa.reports.html.numbers import flat
from mhsa.reports.sources import without_ids

_INPUTS = {"query": ("i", "c"), "key": ("j", "c"), "value": ("j", "c"), "mask": ("i", "j")}
_PARAMETERS = [f"{role}.{kind}" for role in ("query", "key", "value", "out") for kind in ("weight", "bias")]


def failure(found: Mapping[str, Any], known: Property | None, anchor: str, *, first: bool) -> Markup:
    """Draw one failure, folded away unless it is the first."""
    facts = found.get("counterexample") or {}
    reason = str(found.get("reason") or facts.get("message") or "")
    name = tag("code", breakable(str(found.get("id", ""))))
    summary = tag(
        "summary",
        tag("span", "✕", class_="sign", aria_hidden="true"),
        tag("span", name, tag("span", reason, class_="brief"), class_="what"),
    )
    body = _body(facts, reason, known, _again(found, facts))
    return tag("details", summary, *body, id=anchor, class_="failure", open=first)


def _again(found: Mapping[str, Any], facts: Mapping[str, Any]) -> Markup | None:
    """The commands that show the failure again: on the saved case alone, and as it was found."""
    commands = [shlex.join(["mhsa", "replay", str(facts["file"])])] if facts.get("file") else []
    commands += [str(found["reproduce"])] if found.get("reproduce") else []
    return join(_command(text) for text in commands) if commands else None


def _command(text: str) -> Markup:
    """A command that is folded between its words, so that no option is torn from its dashes."""
    words = [tag("span", breakable(word)) for word in text.split(" ")]
    return tag("pre", tag("code", Markup(" ".join(words))), class_="command")


def _body(facts: Mapping[str, Any], reason: str, known: Property | None, again: Markup | None) -> list[Markup]:
    case = facts.get("case") or {}
    rows: list[tuple[str, Child]] = [
        ("must hold", known.summary if known else ""),
        ("statement", tag("code", known.statement) if known and known.statement else ""),
        ("observed", tag("strong", breakable(reason), class_="observed") if reason else ""),
        ("smallest case", str(case.get("words") or "")),
        ("reproduce", again),
        ("source", without_ids(known.source) if known else ""),
        ("known to break it", known.breaks if known else ""),
    ]
    return [definitions(rows), *_numbers(facts), *_inputs(facts)]


def _numbers(facts: Mapping[str, Any]) -> list[Markup]:
    """Weights and output of the call, and what was compared where that is something else."""
    answer = facts.get("answer") or {}
    what, where = str(facts.get("what") or "numbers"), facts.get("where") or ()
    weights, output = _part(answer, "weights"), _part(answer, "output")
    parts: list[Markup] = []
    unbounded = facts.get("observed_all") is not None and not ((what == "output" and output) or (what == "weights" and weights))
    if unbounded:
        given = HeatmapData(facts.get("required_all"), facts["observed_all"], where=where, names=_outer(what))
        parts += [tag("h5", what[:1].upper() + what[1:]), compare(given)]
    if weights:
        given = HeatmapData(
            weights["required"], weights.get("observed"), weights.get("bound"), facts.get("mask"),
            where if what == "weights" else (), ("i", "j"), ("sample", "head"), 1.0,
        )  # fmt: skip
        parts += [tag("h5", "Weights"), compare(given)]
        if weights.get("observed") is None:
            parts.append(tag("p", "The subject hands out no weights: these are the ones that must be.", class_="hint"))
    if output:
        given = HeatmapData(
            output["required"], output.get("observed"), output.get("bound"), None,
            where if what == "output" else (), ("i", "c"), ("sample",),
        )  # fmt: skip
        parts += [tag("h5", "Output"), compare(given)]
    if not parts:
        return []
    return [
        tag("h4", "Numbers"),
        *parts,
        _legend(
            facts, masked=bool(weights) and facts.get("mask") is not None and 0.0 in flat(facts["mask"]), unbounded=unbounded
        ),
    ]


def _part(answer: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = answer.get(name)
    return part if isinstance(part, dict) and part.get("required") is not None else {}


def _outer(what: str) -> tuple[str, ...]:
    return ("sample", "head") if what.startswith("weights") else ("sample",) if what.startswith("output") else ()


def _legend(facts: Mapping[str, Any], *, masked: bool, unbounded: bool) -> Markup:
    said = ["Rows are queries i; columns are keys j or features c."]
    said += ["Blue is positive and orange negative; red is a difference beyond its bound, and ≈0 one within it."]
    said += ["Where no bound is known per number, red is any difference."] if unbounded else []
    said += ["A hatched cell is a masked key."] if masked else []
    said += ["The outlined number is the one that the message names."] if facts.get("where") else []
    return tag("p", " ".join(said), class_="hint")


def _inputs(facts: Mapping[str, Any]) -> list[Markup]:
    drawn = [
        plain(name, facts[name], permission if name == "mask" else neutral, axes)
        for name, axes in _INPUTS.items()
        if facts.get(name) is not None
    ]
    parts = [tag("h4", "Input"), tag("div", *drawn, class_="beside")] if drawn else []
    case = facts.get("case") or {}
    missing = [name for name in ("query", "key", "value") if facts.get(name) is None]
    if case and missing:
        text = f"More than 64 numbers, so not shown: {', '.join(missing)}. They follow from the seed."
        parts.append(tag("p", text, class_="hint"))
    parameters = [plain(name, facts[name], neutral, ("", "")) for name in _PARAMETERS if facts.get(name) is not None]
    if parameters:
        folded = tag("div", *parameters, class_="beside")
        parts.append(tag("details", tag("summary", "Parameters of the module"), folded, class_="more"))
    return parts
