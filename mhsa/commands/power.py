"""``mhsa power``: which property finds which known bug, and what else would find it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mhsa.commands.options.power import PowerArguments
from mhsa.commands.require_torch import require_torch
from mhsa.records.errors import UsageError

if TYPE_CHECKING:  # each command imports what it needs, so that --help is there at once
    from rich.console import Console


def power(args: PowerArguments) -> int:
    """Measure which property finds which known bug."""
    from rich.console import Console

    from mhsa.bugs.power.report import page, print_power
    from mhsa.records.power_record import recorded, save
    from mhsa.reports.progress import Progress

    if not args.recorded:
        require_torch()
    console = Console(no_color=args.no_color or None, highlight=False)
    for name, file in args.files.items():
        if not file.resolve().parent.is_dir():
            raise UsageError(f"--{name} {file}: there is no folder {file.resolve().parent}")
        if args.names:
            raise UsageError(f"--{name} writes a whole measurement; give no NAME with it")
    if args.names:
        if args.recorded:
            raise UsageError("--recorded shows a whole measurement; give no NAME with it")
        return _power_of(console, args)
    if args.recorded:
        found = recorded()
    else:
        from mhsa.bugs.power.measure import measure, subjects
        from mhsa.records.catalogue import catalogue

        try:
            with Progress(console, subjects(), len(catalogue())) as progress:
                found = measure(args.workers, progress)
        except RuntimeError as error:
            raise UsageError(str(error)) from error
    print_power(console, found)
    try:
        if args.json is not None:
            save(found, args.json)
        if args.markdown is not None:
            args.markdown.write_text(page(found), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from error
    return int(bool(found.survivors or found.alarms))


def _power_of(console: Console, args: PowerArguments) -> int:
    import difflib

    from mhsa.bugs.mutants.registry import mutants
    from mhsa.bugs.power.measure import judge, judge_elsewhere
    from mhsa.bugs.power.report import print_kills
    from mhsa.records.catalogue import catalogue
    from mhsa.reports.progress import Progress

    every = mutants()
    for name in args.names:
        if not any(name.lower() in m.name.lower() for m in every):
            near = difflib.get_close_matches(name, [m.name for m in every], n=1)
            raise UsageError(f"no mutant has {name!r} in its name" + (f"; did you mean {near[0]}?" if near else ""))
    chosen = [m for m in every if any(name.lower() in m.name.lower() for name in args.names)]
    with Progress(console, [m.spec for m in chosen], len(catalogue())) as progress:
        results = judge(tuple(m.spec for m in chosen if not m.killed_in), args.workers, progress)
        results += judge_elsewhere([m for m in chosen if m.killed_in], args.workers, progress)
    print_kills(console, results, chosen)
    if any(r.verdict in ("unjudged", "question") for r in results):
        return 2
    return int(any(not r.count("fail") for r in results))
