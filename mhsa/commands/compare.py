"""``mhsa compare``: two commits side by side, from worktrees to verdicts and an exit code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mhsa import __version__
from mhsa.commands.frame import Frame, frame
from mhsa.commands.options.compare import CompareArguments
from mhsa.records.errors import UsageError

if TYPE_CHECKING:
    from mhsa.bench.compare.comparison import Comparison
    from mhsa.bench.compare.running import Comparing


def compare(args: CompareArguments) -> int:
    """Compare, show, write."""
    if args.self_test:
        from mhsa.commands.self_test import self_test

        if args.html is not None:
            raise UsageError("--html shows a comparison; what a self-test has found is written by --json and --markdown")
        return self_test(args)
    if not args.base:
        raise UsageError("BASE is missing: name the commit, branch or tag to compare with, main say; or give --self-test")

    from mhsa.bench.compare.comparison import exit_code
    from mhsa.bench.compare.report import print_comparison
    from mhsa.bench.compare.running import Comparing
    from mhsa.bench.git.worktrees import Trees
    from mhsa.commands.selection import compared, terms_of

    with frame(args.files, no_color=args.no_color) as out:
        with Trees(Path.cwd()) as trees:
            commits = {"base": trees.commit(args.base), "head": trees.commit(args.head or "HEAD")}
            if not args.head and (changed := trees.changes()):
                raise UsageError(
                    f"uncommitted changes in {', '.join(changed[:3])}{', ...' if len(changed) > 3 else ''}: commits are "
                    "compared, so commit them, or name HEAD to leave them out"
                )
            terms = terms_of(args, trees.changed(commits["base"], commits["head"]))
            sides = {side: trees.checkout(sha) for side, sha in commits.items()}
            run = Comparing(terms, out.console, sides, *compared(args, Path(sides["head"].folder)))
            run.notes += trees.notes
            comparisons = run.comparisons(verify=args.verify)
        names = {side: f"{sha[:10]}" for side, sha in commits.items()}
        out.console.print(f"\n  base {names['base']}  {args.base}\n  head {names['head']}  {args.head or 'HEAD'}")
        print_comparison(out.console, comparisons, run.machine, run.notes)
        return _write(out, comparisons, run, names, exit_code(comparisons, allow_undecided=args.allow_undecided))


def _write(out: Frame, comparisons: Sequence[Comparison], run: Comparing, names: dict[str, str], code: int) -> int:
    """Write the files; return the exit code."""
    from mhsa.bench.compare.comparison import overall
    from mhsa.bench.compare.report import markdown

    def as_json() -> str:
        data = {
            "schema": "mhsa-compare-1", "mhsa": __version__, "exit_code": code, "verdict": overall(comparisons),
            "commits": names, "threshold": run.terms.threshold_of(apart=False),
            "threshold_apart": run.terms.threshold_of(apart=True), "machine": run.machine, "notes": run.notes,
            "benchmarks": [c.as_dict() for c in comparisons],
        }  # fmt: skip
        return json.dumps(data, indent=2) + "\n"

    def as_markdown() -> str:
        return markdown(comparisons, run.machine, names["base"], names["head"], run.notes)

    def as_html() -> str:
        from mhsa.bench.compare.page.compare_page import page

        return page(comparisons, run.machine, names, run.notes)

    return out.finish(code, {"json": as_json, "html": as_html, "markdown": as_markdown})
