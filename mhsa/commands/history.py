"""``mhsa history``: from a range of commits to figures that asv keeps and draws, and to steps in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mhsa import __version__
from mhsa.commands.frame import Frame, frame
from mhsa.commands.options.history import HistoryArguments
from mhsa.records.distribution import install_hint
from mhsa.records.errors import UsageError

if TYPE_CHECKING:
    from mhsa.bench.compare.benchmark import Benchmark
    from mhsa.bench.git.repository import Commit
    from mhsa.bench.git.worktrees import Trees
    from mhsa.bench.history.asv_publish import Site
    from mhsa.bench.history.measure import HistoryMeasurement
    from mhsa.bench.history.steps import Step
    from mhsa.bench.measure.measurement import Measurement
    from mhsa.records.request import Request


def history(args: HistoryArguments) -> int:
    """Measure, store, show, draw."""
    from mhsa.bench.git.worktrees import Trees
    from mhsa.bench.history.asv_publish import is_installed
    from mhsa.commands.selection import chosen

    with frame(args.files, no_color=args.no_color) as out:
        if args.publish and not is_installed():
            raise UsageError(f"asv is not installed: {install_hint('asv')}, or say --no-publish")
        requests, start = _subjects(args)
        with Trees(start) as trees:
            return _History(args, out, trees, chosen(args, requests)).run()


class _History:
    def __init__(self, args: HistoryArguments, out: Frame, trees: Trees, benchmarks: Sequence[Benchmark]) -> None:
        self.args, self.out, self.trees, self.benchmarks = args, out, trees, benchmarks
        self.console = out.console

    def run(self) -> int:
        """Do everything; return the exit code."""
        from mhsa.bench.compare.accepted.between import introduced, place_in
        from mhsa.bench.history.acknowledged import acknowledged
        from mhsa.bench.history.asv_publish import is_installed, site_of
        from mhsa.bench.history.measure import key
        from mhsa.bench.history.page import page
        from mhsa.bench.history.report import print_history, print_steps, unmeasured
        from mhsa.bench.history.steps import steps_of
        from mhsa.reports.line_folding import hanging, show

        commits = self._commits()
        site = site_of(Path.cwd(), self.trees.root, self.args.results)
        measuring = self._measure(commits, site)
        series: list[tuple[Benchmark, list[Measurement | None]]] = []
        for b in self.benchmarks:
            found = (measuring.known[c.sha].get(key(b)) for c in commits)
            series.append((b, [kept.measurement if kept else None for kept in found]))
        print_history(self.console, commits, series, [dict(s.machine) for s in measuring.stores.values()])
        steps: list[Step] = []
        notes = [*self.trees.notes, *(line for b, some in series for line in unmeasured(b.id, commits, some))]
        accepted, problems = introduced(self.trees, commits, place_in(self.trees))
        notes += problems
        if is_installed():
            steps = [step for b, some in series for step in steps_of(b.id, commits, some)]
            steps = acknowledged(steps, commits, accepted)
            known = (sum(m is not None and m.outcome == "measured" for m in some) for _, some in series)
            print_steps(self.console, steps, most=max(known))
        else:
            notes.append(f"steps are found by asv, which is not installed: {install_hint('asv')}")
        for note in notes:
            show(self.console, hanging("  ", note, self.console.width, style="yellow"))
        any_figure = any(m is not None and m.outcome == "measured" for _, some in series for m in some)
        code = 0 if any_figure and not measuring.interrupted else 2
        problems = self._finish(measuring, site, any_figure=any_figure)
        code = 2 if problems else code
        machines = [store.machine for store in measuring.stores.values()]
        makers = {
            "json": lambda: self._as_json(commits, measuring, site, steps, notes, code),
            "html": lambda: page(commits, series, machines, steps, accepted, notes, solved=is_installed()),
        }
        return self.out.finish(code, makers, problems)

    def _commits(self) -> list[Commit]:
        from mhsa.commands.options.history import NEWEST

        shas = self.trees.range(self.args.range) if self.args.range else self.trees.newest(NEWEST)
        return self.trees.described(shas)

    def _measure(self, commits: Sequence[Commit], site: Site) -> HistoryMeasurement:
        from mhsa.bench.history.measure import HistoryMeasurement, Limits, machine_of
        from mhsa.bench.history.store import Store
        from mhsa.bench.measure.run import TIMEOUT

        with self.console.status("looking at the machine"):
            machines = {device: machine_of(device) for device in dict.fromkeys(b.request.device for b in self.benchmarks)}
        stores = {device: Store(site.results, machine) for device, machine in machines.items()}
        for store in stores.values():
            store.require_writable()
        limits = Limits(self.args.budget, self.args.timeout or TIMEOUT, self.args.memory)
        measuring = HistoryMeasurement(self.trees, self.benchmarks, stores, limits)
        measuring.look(commits)
        there = sum(not measuring.missing(c, again=False) for c in commits)
        if there and not self.args.again:
            words = "nothing is measured" if there == len(commits) else "the others are measured"
            self.console.print(f"{there} of {len(commits)} commits are there already, {words}; --again measures all anew")
        measuring.measure(commits, self.console, again=self.args.again)
        return measuring

    def _finish(self, measuring: HistoryMeasurement, site: Site, *, any_figure: bool) -> list[str]:
        """Say where everything is; return what went wrong."""
        from mhsa.bench.history.asv_publish import PublishError, publish

        where = ", ".join(str(store.folder) for store in measuring.stores.values())
        if measuring.measured:
            n = len(measuring.measured)
            words = f"{n} commits measured, {sum(measuring.seconds) / n:.1f} s each" if n > 1 else "1 commit measured"
            self.console.print(f"\n  {words}", soft_wrap=True)
        self.console.print(f"  results  {where}", markup=False, soft_wrap=True)
        if measuring.interrupted:
            return ["interrupted; what was measured until then is kept, and the same command goes on from there"]
        if not any_figure:
            return ["nothing could be measured at any commit; the reasons stand above"]
        if self.args.publish:
            try:
                with self.console.status("asv publish"):
                    publish(site)
            except PublishError as error:
                return [str(error)]
            self.console.print(f"  page     {site.pages / 'index.html'}; to look at it: {site.look}", soft_wrap=True)
        return []

    def _as_json(
        self,
        commits: Sequence[Commit],
        measuring: HistoryMeasurement,
        site: Site,
        steps: Sequence[Step],
        notes: list[str],
        code: int,
    ) -> str:
        data: dict[str, Any] = {
            "schema": "mhsa-history-1", "mhsa": __version__, "exit_code": code, "partial": measuring.interrupted,
            "results": str(site.results),
            "series": {device: {"name": s.series, "machine": s.machine} for device, s in measuring.stores.items()},
            "commits": [
                {
                    **c._asdict(), "measured_now": c.sha in measuring.measured,
                    "measurements": [kept.measurement.as_dict() for kept in measuring.known[c.sha].values()],
                }
                for c in commits
            ],
            "steps": [step.as_dict() for step in steps], "notes": notes,
        }  # fmt: skip
        return json.dumps(data, indent=2) + "\n"


def _subjects(args: HistoryArguments) -> tuple[tuple[Request, ...], Path]:
    """Return the subjects, and the folder of the project that they are of."""
    from mhsa.bench.measure.measurement import Contender
    from mhsa.commands.selection import requests_of

    requests = requests_of(args, Path.cwd(), "nothing is configured here: name what is to be measured")
    folders = {r.folder for r in requests}
    start = Path(folders.pop() or Path.cwd()) if len(folders) == 1 else Path.cwd()
    # The names are those that mhsa bench and asv's benchmarks have, too.
    labels = (Contender.of(r).name for r in requests)
    device = args.device
    found = (replace(r, label=label, folder="", device=device or r.device) for r, label in zip(requests, labels, strict=True))
    return tuple({r.label: r for r in found}.values()), start
