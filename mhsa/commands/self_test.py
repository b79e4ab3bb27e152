"""``mhsa compare --self-test``: how often the regression check is right on this machine, as a table and an exit code."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from mhsa.commands.frame import frame
from mhsa.commands.options.compare import CompareArguments
from mhsa.records.errors import UsageError
from mhsa.reports.write import write_report


def self_test(args: CompareArguments) -> int:
    """Compare a commit with itself many times, show, write."""
    from mhsa.bench.compare.self_testing.self_test import SelfTest
    from mhsa.bench.compare.self_testing.self_test_file import as_data, go_on
    from mhsa.bench.git.worktrees import Trees
    from mhsa.commands.selection import compared, terms_of

    if args.head:
        raise UsageError(f"--self-test compares one commit with itself; given were {args.base} and {args.head}")
    file = None if str(args.json) == "-" else args.json

    def as_json() -> str:
        return json.dumps(as_data(test, commit), indent=2) + "\n"

    def keep() -> None:
        if file:
            with contextlib.suppress(OSError):  # the end of the run reports it
                write_report(file, as_json())

    with frame(args.files, no_color=args.no_color) as out:
        with Trees(Path.cwd()) as trees:
            commit = trees.commit(args.base or "HEAD")
            tree = trees.checkout(commit)
            test = SelfTest(terms_of(args), out.console, tree, *compared(args, Path(tree.folder)), args.runs, keep)
            go_on(test, commit, file)
            test.notes += trees.notes
            test.run(verify=args.verify)
        if not test.trials:
            raise UsageError("interrupted before one run had ended; nothing was concluded")
        test.print()
        return out.finish(test.code, {"json": as_json, "markdown": test.markdown})
