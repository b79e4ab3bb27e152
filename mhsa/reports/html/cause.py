"""The likely cause on the page: known bugs in words, as a line of mathematics, and as a picture of the weights."""

from __future__ import annotations

from typing import Any

from mhsa.records.diagnosis import Diagnosis
from mhsa.reports.html.heatmap import HeatmapData, compare
from mhsa.reports.html.markup import Markup, breakable, definitions, join, tag
from mhsa.reports.sources import public_reports

_TITLES = {"confirmed": "Cause, confirmed", "similar": "Cause, perhaps", "unknown": "Cause not known"}


def cause(diagnosis: Diagnosis) -> Markup:
    """Draw the likely cause: known bugs in words and as a line of mathematics, and a picture of the weights."""
    names = " or ".join(c.name for c in diagnosis.causes)
    parts: list[Markup] = [tag("h3", f"{_TITLES[diagnosis.kind]}{': ' if names else ''}{names}")]
    parts += [tag("p", breakable(sentence)) for sentence in diagnosis.words]
    for c in diagnosis.causes:
        rows = [
            ("bug", c.summary),
            ("computes", tag("code", c.computes, class_="bad")),
            ("must be", tag("code", c.must_be, class_="good")),
            ("reported as", public_reports(c.census)),
            ("alike", "" if c.shared is None else f"{100 * c.shared:.0f} % of the failed properties in common"),
        ]
        parts.append(join([tag("h4", c.name) if len(diagnosis.causes) > 1 else None, definitions(rows)]))
    if diagnosis.picture is not None:
        parts.append(_picture(diagnosis.picture))
    return tag("section", *parts, class_=f"cause {diagnosis.kind}")


def _picture(picture: dict[str, Any]) -> Markup:
    title = f"Weights of sample {picture['sample']}, head {picture['head']}, {picture['what']}"
    weights = HeatmapData(picture["expected"], picture["observed"], allowed=picture["allowed"], axes=("i", "j"), scale=1.0)
    notes = ["Rows are queries i, columns are keys j."]
    notes += ["A hatched cell is a masked key."] if picture["allowed"] is not None else []
    return join([tag("h4", title), compare(weights), tag("p", f"{' '.join(notes)} {picture['case']}", class_="hint")])
