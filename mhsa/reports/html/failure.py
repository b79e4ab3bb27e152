"""One failed property: the law, the observation, the smallest case, its numbers and how to see it again."""

from __future__ import annotations

from mhsa.records.catalogue import Property
from mhsa.records.document.counterexample import Counterexample
from mhsa.records.document.subject import PropertyRecord
from mhsa.reports.html.heatmap import HeatmapData, compare, neutral, permission, plain
from mhsa.reports.html.markup import Child, Markup, breakable, command, definitions, join, tag
from mhsa.reports.html.numbers import flat
from mhsa.reports.phrases import commands
from mhsa.reports.sources import without_ids

_AXES = {"query": ("i", "c"), "key": ("j", "c"), "value": ("j", "c"), "mask": ("i", "j")}


def failure(result: PropertyRecord, known: Property | None, anchor: str, *, first: bool) -> Markup:
    """Draw one failure, folded away unless it is the first."""
    facts = result.facts
    reason = result.reason or facts.message
    name = tag("code", breakable(result.id))
    summary = tag(
        "summary",
        tag("span", "✕", class_="sign", aria_hidden="true"),
        tag("span", name, tag("span", reason, class_="brief"), class_="what"),
    )
    again = [command(text) for text in commands(result)]
    body = _body(facts, reason, known, join(again) if again else None)
    return tag("details", summary, *body, id=anchor, class_="failure", open=first)


def _body(facts: Counterexample, reason: str, known: Property | None, again: Markup | None) -> list[Markup]:
    rows: list[tuple[str, Child]] = [
        ("must hold", known.summary if known else ""),
        ("statement", tag("code", known.statement) if known and known.statement else ""),
        ("observed", tag("strong", breakable(reason), class_="observed") if reason else ""),
        ("smallest case", facts.words),
        ("reproduce", again),
        ("source", without_ids(known.source) if known else ""),
        ("known to break it", known.breaks if known else ""),
    ]
    return [definitions(rows), *_numbers(facts), *_inputs(facts)]


def _numbers(facts: Counterexample) -> list[Markup]:
    """Weights and output of the call, and what was compared where that is something else."""
    what, where = facts.what or "numbers", facts.where
    weights, output = facts.weights, facts.output
    parts: list[Markup] = []
    unbounded = facts.observed_all is not None and not ((what == "output" and output) or (what == "weights" and weights))
    if unbounded:
        compared = HeatmapData(facts.required_all, facts.observed_all, where=where, names=_outer(what))
        parts += [tag("h5", what[:1].upper() + what[1:]), compare(compared)]
    mask = facts.inputs.get("mask")
    if weights:
        compared = HeatmapData(
            weights.required, weights.observed, weights.bound, mask,
            where if what == "weights" else (), ("i", "j"), ("sample", "head"), 1.0,
        )  # fmt: skip
        parts += [tag("h5", "Weights"), compare(compared)]
        if weights.observed is None:
            parts.append(tag("p", "The subject returns no weights: these are the ones that must be.", class_="hint"))
    if output:
        compared = HeatmapData(
            output.required, output.observed, output.bound, None,
            where if what == "output" else (), ("i", "c"), ("sample",),
        )  # fmt: skip
        parts += [tag("h5", "Output"), compare(compared)]
    if not parts:
        return []
    masked = weights is not None and mask is not None and 0.0 in flat(mask)
    return [tag("h4", "Numbers"), *parts, _legend(masked=masked, unbounded=unbounded, named=bool(where))]


def _outer(what: str) -> tuple[str, ...]:
    return ("sample", "head") if what.startswith("weights") else ("sample",) if what.startswith("output") else ()


def _legend(*, masked: bool, unbounded: bool, named: bool) -> Markup:
    sentences = ["Rows are queries i; columns are keys j or features c."]
    sentences += ["Blue is positive and orange negative; red is a difference beyond its bound, and ≈0 one within it."]
    sentences += ["Where no bound is known per number, red is any difference."] if unbounded else []
    sentences += ["A hatched cell is a masked key."] if masked else []
    sentences += ["The outlined number is the one that the message names."] if named else []
    return tag("p", " ".join(sentences), class_="hint")


def _inputs(facts: Counterexample) -> list[Markup]:
    drawn = [
        plain(name, numbers, permission if name == "mask" else neutral, _AXES[name]) for name, numbers in facts.inputs.items()
    ]
    parts = [tag("h4", "Input"), tag("div", *drawn, class_="side-by-side")] if drawn else []
    missing = [name for name in ("query", "key", "value") if name not in facts.inputs]
    if facts.case and missing:
        text = f"More than 64 numbers, so not shown: {', '.join(missing)}. They follow from the seed."
        parts.append(tag("p", text, class_="hint"))
    parameters = [plain(name, numbers, neutral, ("", "")) for name, numbers in facts.parameters.items()]
    if parameters:
        folded = tag("div", *parameters, class_="side-by-side")
        parts.append(tag("details", tag("summary", "Parameters of the module"), folded, class_="more"))
    return parts
