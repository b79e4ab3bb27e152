"""``mhsa compare``: two commits side by side, from worktrees to verdicts and an exit code."""

from __future__ import annotations

import json
import os
import sys
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
    from mhsa.bench.compare.accepting import accept, reason_of, still_to_accept

    reason = None if args.accept is None else reason_of(args.accept)
    if reason and args.self_test:
        raise UsageError("--accept is about two commits, and --self-test compares one with itself: give one of them")
    if args.self_test:
        from mhsa.commands.self_test import self_test

        if args.html is not None:
            raise UsageError("--html shows a comparison; what a self-test has found is written by --json and --markdown")
        return self_test(args)
    if not args.base:
        raise UsageError("BASE is missing: name the commit, branch or tag to compare with, main say; or give --self-test")

    from mhsa.bench.compare.accepted.between import between, place_in, uncommitted
    from mhsa.bench.compare.comparison import exit_code
    from mhsa.bench.compare.pull_request.comment import annotated
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
            if reason and commits["head"] != trees.commit("HEAD"):
                raise UsageError("--accept is about the commit that is checked out, in whose files it is kept: leave HEAD out")
            terms = terms_of(args, trees.changed(commits["base"], commits["head"]))
            place = place_in(trees)
            accepted = between(trees, commits["base"], commits["head"], place)
            sides = {side: trees.checkout(sha) for side, sha in commits.items()}
            run = Comparing(terms, out.console, sides, *compared(args, Path(sides["head"].folder)))
            run.accepted = accepted
            run.notes += trees.notes
            comparisons = run.comparisons(verify=args.verify)
            if reason:
                comparisons, done = accept(comparisons, reason, commits, (trees.root / place).parent)
                run.notes.append(done)
            if commits["head"] == trees.commit("HEAD") and (left := uncommitted(trees, commits["head"], place)):
                run.notes.append(left)
        names = {side: f"{sha[:10]}" for side, sha in commits.items()}
        out.console.print(f"\n  base {names['base']}  {args.base}\n  head {names['head']}  {args.head or 'HEAD'}")
        hint = (
            [f'if that is meant: mhsa compare {args.base} --accept "REASON"'] if any(map(still_to_accept, comparisons)) else []
        )
        print_comparison(out.console, comparisons, run.machine, [*run.notes, *hint])
        if os.environ.get("GITHUB_ACTIONS") == "true" and (line := annotated(comparisons)):
            print(line, file=sys.stderr if str(args.json) == "-" else sys.stdout)
        return _write(out, comparisons, run, names, exit_code(comparisons, allow_undecided=args.allow_undecided))


def _write(out: Frame, comparisons: Sequence[Comparison], run: Comparing, names: dict[str, str], code: int) -> int:
    """Write the files; return the exit code."""
    from mhsa.bench.compare.comparison import overall
    from mhsa.bench.compare.pull_request.comment import comment

    def as_json() -> str:
        data = {
            "schema": "mhsa-compare-1", "mhsa": __version__, "exit_code": code, "verdict": overall(comparisons),
            "commits": names, "threshold": run.terms.threshold_of(apart=False),
            "threshold_apart": run.terms.threshold_of(apart=True), "machine": run.machine, "notes": run.notes,
            "benchmarks": [c.as_dict() for c in comparisons],
        }  # fmt: skip
        return json.dumps(data, indent=2) + "\n"

    def as_markdown() -> str:
        threshold = run.terms.threshold_of(apart=any(c.apart for c in comparisons))
        return comment(comparisons, run.machine, names, run.notes, threshold)

    def as_html() -> str:
        from mhsa.bench.compare.page.compare_page import page

        return page(comparisons, run.machine, names, run.notes)

    return out.finish(code, {"json": as_json, "html": as_html, "markdown": as_markdown})
