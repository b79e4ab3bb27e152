"""``mhsa replay FILE``: one saved case, once more. FIXED, FAILED or ERROR, with the numbers of then and now."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from mhsa.commands.options.declarations import declared_by
from mhsa.commands.options.replay import ReplayArguments
from mhsa.records.case_files.case_file import Saved, read
from mhsa.records.configuration import find
from mhsa.records.errors import UsageError, visible
from mhsa.records.options import Options
from mhsa.records.results import PropertyResult, SubjectResult
from mhsa.run.process_limits import default_memory

_WORDS = {0: ("FIXED", "bold green"), 1: ("FAILED", "bold red"), 2: ("ERROR", "bold magenta")}


def replay(args: ReplayArguments) -> int:
    """Judge the subject of a saved case by its one property, on that case alone."""
    saved = read(args.file)
    configured = find(Path.cwd())  # a case has no folder of its own: it is about the repository that it is replayed in
    request = replace(saved.request, folder=str(configured.parent) if configured is not None else "")
    if args.subject:
        request = replace(request, label=args.subject, subject=args.subject, build="", submodule="")
    request = declared_by(args.contract, args.argument, request)
    with tempfile.TemporaryDirectory(prefix="mhsa-") as folder:
        script = Path(folder) / "script.py"
        result = _run(Options(
            requests=(request,), keyword=saved.property, timeout=args.timeout, memory=args.memory or default_memory(),
            replay=saved.drawn, script=str(script) if args.python else "",
        ))  # fmt: skip
        if args.python:
            if not script.exists():
                raise UsageError(f"no script could be made: {visible(result.why)}")
            print(script.read_text(encoding="utf-8"), end="")
            return 0
    found = next((p for p in result.properties if p.id == saved.property), None)
    code = 2 if found is None or found.outcome not in ("pass", "fail") else int(found.outcome == "fail")
    _show(saved, result, found, code, plain=args.no_color)
    return code


def _run(options: Options) -> SubjectResult:
    from mhsa.run.runner import run

    (result,) = run(options)
    return result


def _show(saved: Saved, result: SubjectResult, found: PropertyResult | None, code: int, *, plain: bool) -> None:
    from rich.text import Text

    from mhsa.reports.line_folding import hanging, show, wide_console

    console = wide_console(no_color=plain)
    word, style = _WORDS[code]
    head = visible(f"  {saved.property}  {result.label}")
    console.print(Text(word, style=style).append(head, style="default"), soft_wrap=True)
    case = saved.found.get("case")
    rows: list[tuple[str, Any]] = [("case", case.get("words", "") if isinstance(case, dict) else "")]
    rows.append(("then", saved.found.get("message", "")))
    now = result.why if found is None or found.outcome == "error" else found.reason
    worst = found and found.worst_error_over_bound
    if code == 0:
        now = "it holds" + (f" (error/bound {worst:.2g})" if worst is not None else "")
    elif found is not None and found.outcome == "not-applicable":
        now = f"not applicable: {found.reason}"
    rows.append(("now", now))
    for name, words in rows:
        if words:
            show(console, hanging(f"  {name:<5} ", visible(str(words)), console.width))
