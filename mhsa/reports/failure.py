"""One failed property on the terminal: the law, what was observed, the smallest case, and the commands that show it again."""

from __future__ import annotations

import shlex
from typing import Any

from rich.text import Text

from mhsa.records.catalogue import Property
from mhsa.records.document.counterexample import Counterexample
from mhsa.records.request import Request
from mhsa.records.results import PropertyResult
from mhsa.reports.line_folding import hanging, labelled
from mhsa.reports.text import printable

_MOST = 9  # numbers of a parameter that are worth a line; the JSON has more


def failure_lines(
    failure: PropertyResult,
    request: Request,
    known: Property | None,
    width: int,
    *,
    numbers: bool,
    often: str = "",
    most: int | None = None,
) -> list[Text]:
    """Return what is known of one failure: the law, what was observed, the smallest case and how to run it again.

    Args:
        failure: the result of the property.
        request: its subject.
        known: the property, if it is one of the catalogue.
        width: columns of the terminal.
        numbers: whether to show the tensors of the smallest case.
        often: how many other properties fail alike, in words.
        most: lines of one row; None for all.
    """
    facts = Counterexample.of(failure.counterexample)
    rows = [("must hold", known.summary)] if known is not None else []
    rows.append(("observed", failure.reason))
    if often:
        rows.append(("in all", often))
    if facts.case:
        rows.append(("smallest", facts.words))
    if numbers:
        parameters = {name: values for name, values in facts.parameters.items() if _size(values) <= _MOST}
        results = {"is": facts.observed_all, "must be": facts.required_all}
        tensors = facts.inputs | parameters | {name: values for name, values in results.items() if values is not None}
        rows += [(name, _numbers(values)) for name, values in tensors.items()]
    commands = [("reproduce", reproduce(request, failure.id))]
    if facts.file:
        commands.append(("replay", shlex.join(["mhsa", "replay", facts.file])))
    broad = max(len(name) for name, _ in (*rows, *commands))
    lines = [Text(), *hanging("  ", f"FAILED {failure.id}", width, style="bold red")]
    lines += labelled([(f"{name:<{broad}}", words) for name, words in rows], width, most=most)
    for name, words in commands:  # copied, so never folded
        lines.append(Text(f"    {name:<{broad}}  ", style="dim").append(printable(words), style="cyan"))
    return lines


def _size(nested: Any) -> int:
    return sum(_size(x) for x in nested) if isinstance(nested, list) else 1


def _numbers(nested: Any) -> str:
    """Nested lists of numbers, six digits each."""
    if isinstance(nested, list):
        return f"[{', '.join(_numbers(x) for x in nested)}]"
    return f"{nested:.6g}" if isinstance(nested, float) else str(nested)


def reproduce(request: Request, identity: str) -> str:
    """Return the command that runs just this property on the same cases."""
    words = ["mhsa", "verify", request.label, "-k", identity, "--seed", str(request.seed)]
    if request.profile != "quick":
        words += ["--profile", request.profile]
    for dtype in request.dtypes:
        words += ["--dtype", dtype]
    if request.device != "cpu":
        words += ["--device", request.device]
    words += request.typed
    return shlex.join(words)
