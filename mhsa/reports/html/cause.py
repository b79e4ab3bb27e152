"""The likely cause on the page: known bugs in words, as a line of mathematics, and as a picture of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mhsa.reports.html.heatmap import HeatmapData, compare
from mhsa.reports.html.markup import Markup, breakable, definitions, join, tag
from mhsa.reports.html.numbers import number
from mhsa.reports.sources import public_reports


def cause(diagnosis: Mapping[str, Any]) -> Markup:
    """Draw the likely cause: known bugs in words and as a line of mathematics, and a picture of the weights."""
    titles = {"confirmed": "Cause, confirmed", "similar": "Cause, perhaps", "unknown": "Cause not known"}
    causes = [c for c in diagnosis.get("causes") or () if isinstance(c, Mapping)]
    names = " or ".join(str(c.get("name", "")) for c in causes)
    kind = str(diagnosis.get("kind", "unknown"))
    parts: list[Markup] = [tag("h3", f"{titles.get(kind, titles['unknown'])}{': ' if names else ''}{names}")]
    parts += [tag("p", breakable(str(sentence))) for sentence in diagnosis.get("words") or ()]
    for c in causes:
        shared = "" if c.get("shared") is None else f"{100 * number(c['shared']):.0f} % of the failed properties in common"
        rows = [
            ("bug", str(c.get("summary") or "")),
            ("computes", tag("code", str(c.get("computes") or ""), class_="bad")),
            ("must be", tag("code", str(c.get("must_be") or ""), class_="good")),
            ("reported as", public_reports(str(c.get("census") or ""))),
            ("alike", shared),
        ]
        parts.append(join([tag("h4", str(c.get("name", ""))) if len(causes) > 1 else None, definitions(rows)]))
    if isinstance(diagnosis.get("picture"), Mapping):
        parts.append(_picture(diagnosis["picture"]))
    return tag("section", *parts, class_=f"cause {kind if kind in titles else 'unknown'}")


def _picture(picture: Mapping[str, Any]) -> Markup:
    place = f"Weights of sample {picture.get('sample')}, head {picture.get('head')}, {picture.get('what')}"
    given = HeatmapData(
        picture.get("expected") or [], picture.get("observed"), allowed=picture.get("allowed"), axes=("i", "j"), scale=1.0
    )
    notes = ["Rows are queries i, columns are keys j."]
    notes += ["A hatched cell is a masked key."] if picture.get("allowed") is not None else []
    return join([tag("h4", place), compare(given), tag("p", f"{' '.join(notes)} {picture.get('case', '')}", class_="hint")])
