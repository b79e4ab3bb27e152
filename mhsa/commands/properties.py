"""``mhsa properties``: the list of properties, and what each of them means."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from mhsa.commands.options.properties import PropertiesArguments
from mhsa.records.errors import UsageError


def properties(args: PropertiesArguments) -> int:
    """List the properties."""
    from mhsa.records.catalogue import catalogue
    from mhsa.reports.line_folding import hanging, wide_console

    every = catalogue()
    if args.markdown:
        from mhsa.reports.properties_page import handbook

        if args.name or args.json:
            raise UsageError("--markdown writes the whole page; give neither NAME nor --json with it")
        print(handbook(every), end="")
        return 0
    chosen = [p for p in every if args.name in p.id]
    if not chosen:
        from mhsa.records.request import nearest_id

        near = nearest_id(args.name, [p.id for p in every])
        raise UsageError(
            f"no property has {args.name!r} in its id; {f'did you mean {near}?' if near else '`mhsa properties` lists them'}"
        )
    if args.json:
        print(json.dumps([asdict(p) for p in chosen], indent=2))
        return 0
    if args.name:
        from mhsa.reports.sources import without_ids

        width = wide_console(no_color=True).width
        for p in chosen:
            print("\n".join([p.id, *(line.plain for line in hanging("  ", p.summary, width)), ""]))
            for title, text in (
                ("statement", p.statement),
                ("requires", p.requires),
                ("source", without_ids(p.source)),
                ("breaks it", p.breaks),
            ):
                if text:
                    print("\n".join(line.plain for line in hanging(f"  {title:<10} ", text, width)))
            print()
        return 0
    width = max(len(p.id) for p in chosen)
    narrow = wide_console(no_color=True).width if sys.stdout.isatty() else None  # a file has one line for each, to be searched
    for p in chosen:
        if narrow is None or width + 2 + len(p.summary) <= narrow:
            print(f"{p.id:<{width}}  {p.summary}")
        else:
            print("\n".join([p.id, *(line.plain for line in hanging("    ", p.summary, narrow))]))
    print(f"\n{len(chosen)} properties; mhsa properties NAME shows one in full")
    return 0
