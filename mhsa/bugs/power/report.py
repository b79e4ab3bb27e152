"""The measured power of the suite, for a terminal and as the page docs/power.md."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from mhsa.bugs.mutants.registry import KINDS, Mutant, mutants
from mhsa.records.catalogue import FAMILIES, catalogue
from mhsa.records.power_record import Power
from mhsa.records.results import SubjectResult
from mhsa.reports.markdown_text import table
from mhsa.reports.tables import aligned


def print_power(console: Console, power: Power) -> None:
    """Print the totals, the other tools, and what each property finds, in running order."""
    console.print()
    for name, words in _totals(power):
        console.print(Text(f"  {name:<22}  ", style="dim").append(words), soft_wrap=True)
    for title, head, rows in (
        ("tools on the same modules", _TOOL_HEAD, list(_tool_rows(power))),
        ("properties, in running order", _PROPERTY_HEAD, list(_property_rows(power))),
    ):
        console.print(Text(f"\n  {title}", style="bold"))
        for line in aligned([head, *rows]):
            console.print(Text(f"    {line}"), soft_wrap=True)
    for name in power.survivors:
        console.print(Text(f"  SURVIVED {name}", style="bold red"))
    for name, verdict in power.alarms.items():
        console.print(Text(f"  FALSE ALARM {name}: {verdict}", style="bold red"))


def print_kills(console: Console, results: Sequence[SubjectResult], known: Sequence[Mutant]) -> None:
    """Print for each of a few mutants the properties that find it, in running order of the catalogue."""
    by_spec = {m.spec: m for m in known}
    for result in results:
        mutant = by_spec[result.subject]
        kills = [p.id for p in result.properties if p.outcome == "fail"]
        console.print()
        console.print(Text(mutant.name, style="bold").append(f"  {mutant.summary}", style="dim"), soft_wrap=True)
        verdict = f"killed by {len(kills)} of {len(result.properties)} properties" if kills else "SURVIVED"
        if result.verdict in ("unjudged", "question"):
            verdict = f"{result.verdict}: {result.why}"
        console.print(Text(f"  {verdict}", style="green" if kills else "bold red"), soft_wrap=True)
        if kills:
            console.print(Text(f"  {', '.join(kills)}"), soft_wrap=True)


def page(power: Power) -> str:
    """Return docs/power.md."""
    parts = [_HEAD, "## In short\n", *(f"- {name}: {words}" for name, words in _totals(power))]
    parts += ["", _OTHER_TOOLS, *table(_TOOL_HEAD, _tool_rows(power)), "", _MISSED, *table(*_missed(power))]
    parts += ["", _PROPERTIES, *table(_PROPERTY_HEAD, _property_rows(power))]
    parts += ["", _FAMILIES, *table(*_by_kind(power))]
    parts += ["", _MUTANTS, *table(("mutant", "the bug", "found by", "first", "cases", "seconds"), _mutant_rows(power))]
    parts += ["", _MATRIX, "```", *_matrix(power), "```"]
    return "\n".join(parts) + "\n"


_HEAD = """# The power of the suite

Written by `mhsa power -n 2 --json mhsa/records/power.json --markdown docs/power.md` (`make power`); every figure is from that
run. A mutant is the reference with exactly one bug (`mhsa/bugs/mutants/`); a right variant is another way to the same numbers.
Seconds are of this run's machine and exclude imports; failures are not made smaller.
"""
_OTHER_TOOLS = """## Other ways of testing

Each judges the same modules, filled with the same parameters; a bug is found where the tool raises. *allclose*: one call of
`torch.nn.MultiheadAttention` and of the module, `torch.testing.assert_close` with its own tolerances; *allclose, mask,
gradients*: with a random mask, in output, weights and all gradients; *gradcheck*: `torch.autograd.gradcheck` of inputs and
parameters; *pytest-torch*: version 1.0's inference contract, padding and mask invariance. They stand in
`mhsa/bugs/power/baselines.py`.
"""
_MISSED = """What each finds, by kind of bug:
"""
_PROPERTIES = """## Properties

In running order: the next is the one that finds most of the mutants that are left, per second. *alone*: mutants that no other
property finds. *new*: mutants that no property before it finds. A property without either is kept where it says more clearly
than others what is wrong, or sees what the mutants do not show; the slow ones, which quick leaves out, have no figures here.
"""
_FAMILIES = """## Kinds of bugs and families of properties

Share of the mutants of a kind that some property of a family finds, in per cent.
"""
_MUTANTS = """## Mutants

*first*: the first property in running order that finds it, with the cases and seconds that all properties up to it take.
"""
_MATRIX = """## The matrix

A row is a mutant, in the order of the table above; a column is a property, in running order. `#` is a kill.
"""
_PROPERTY_HEAD = ("property", "kills", "power", "new", "alone", "seconds")
_TOOL_HEAD = ("tool", "found", "share", "false alarms")


def _totals(power: Power) -> Iterator[tuple[str, str]]:
    kills = power.mutants.values()
    quick, elsewhere = sum(bool(k.kills) for k in kills), sum(not k.kills and bool(k.elsewhere) for k in kills)
    total = len(power.mutants)
    killed = quick + elsewhere
    share = 100 * killed / total
    yield "mutants killed", f"{killed} of {total} ({share:.4g} %): {quick} in quick, {elsewhere} where their docstrings say"
    yield "false alarms", f"{len(power.alarms)} on {power.right} right variants"
    seconds = sorted(k.seconds for k in kills if k.kills)
    if seconds:
        tenth = seconds[min(9 * len(seconds) // 10, len(seconds) - 1)]
        words = f"median {statistics.median(seconds):.2f} s, nine in ten within {tenth:.2f} s, longest {seconds[-1]:.2f} s"
        yield "time to the first kill", words
        cases = sorted(k.cases for k in kills if k.kills)
        yield "cases to the first kill", f"median {statistics.median(cases):.0f}, longest {cases[-1]}"
    idle = [identity for identity in power.order if not _found_by(power, identity) and not _elsewhere_by(power, identity)]
    yield "properties", f"{len(power.order)}, of which {len(idle)} kill nothing{': ' if idle else ''}{', '.join(idle)}"
    yield "measured in", f"{power.seconds:.0f} s"


def _found_by(power: Power, identity: str) -> list[str]:
    return [name for name, kill in power.mutants.items() if identity in kill.kills]


def _elsewhere_by(power: Power, identity: str) -> list[str]:
    return [name for name, kill in power.mutants.items() if identity in kill.elsewhere]


def _tool_rows(power: Power) -> Iterator[tuple[str, ...]]:
    total = len(power.mutants)
    quick = sum(bool(kill.kills) for kill in power.mutants.values())
    rows = [("mhsa verify", quick, len(power.alarms))]
    rows += [(name, len(tool.found), len(tool.alarms)) for name, tool in power.other_tools.items()]
    for name, found, alarms in rows:
        yield name, f"{found} of {total}", f"{100 * found / total:.0f} %", f"{alarms} of {power.right}"


def _missed(power: Power) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    known = mutants()
    rows = []
    for kind in KINDS:
        names = [m.name for m in known if m.kind == kind]
        quick = sum(bool(power.mutants[n].kills) for n in names)
        found = [quick, *(sum(n in tool.found for n in names) for tool in power.other_tools.values())]
        rows.append((kind, str(len(names)), *map(str, found)))
    return ("kind", "mutants", "mhsa verify", *power.other_tools), rows


def _property_rows(power: Power) -> Iterator[tuple[str, ...]]:
    seen: set[str] = set()
    quick = sum(bool(kill.kills) for kill in power.mutants.values())
    for identity in power.order:
        found = _found_by(power, identity)
        alone = sum(len(power.mutants[name].kills) == 1 for name in found)
        new = len(set(found) - seen)
        seen |= set(found)
        others = _elsewhere_by(power, identity)
        kills = str(len(found)) if found or not others else f"({len(others)})"
        yield identity, kills, f"{100 * len(found) / quick:.0f} %", str(new), str(alone), f"{power.costs[identity]:.3f}"


def _by_kind(power: Power) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    known = mutants()
    rows = []
    for family in FAMILIES:
        row = [family]
        for kind in KINDS:
            names = [m.name for m in known if m.kind == kind]
            found = sum(any(p.partition(".")[0] == family for p in power.mutants[n].kills) for n in names)
            row.append(f"{100 * found / len(names):.0f}" if found else "")
        rows.append(tuple(row))
    return ("", *KINDS), rows


def _mutant_rows(power: Power) -> Iterator[tuple[str, ...]]:
    quick = len(catalogue())
    for m in mutants():
        kill = power.mutants[m.name]
        if kill.kills:
            yield m.name, m.summary, f"{len(kill.kills)} of {quick}", kill.first, str(kill.cases), f"{kill.seconds:.2f}"
        else:
            yield m.name, m.summary, "0", f"{', '.join(kill.elsewhere) or 'SURVIVES'} ({m.killed_in})", "", ""


def _matrix(power: Power) -> Iterator[str]:
    width = max(map(len, power.mutants))
    for name, kill in power.mutants.items():
        yield f"{name:<{width}} " + "".join("#" if identity in kill.kills else "." for identity in power.order)
