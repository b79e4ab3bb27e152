"""``mhsa compare --self-test``: how often the regression check is right on this machine, counted over many runs."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from rich.console import Console
from rich.text import Text

from mhsa.bench.compare.benchmark import Benchmark
from mhsa.bench.compare.both_commits import BothCommits
from mhsa.bench.compare.running import Comparing, comparison_of
from mhsa.bench.compare.self_testing.self_test_runs import (
    ALARMS,
    FOUND,
    BenchmarkVerdict,
    SelfTestRun,
    Tally,
    planned,
    promised,
    tallies,
)
from mhsa.bench.compare.settings import Terms
from mhsa.bench.git.worktrees import Checkout
from mhsa.bench.report.sentences import machine_line
from mhsa.records.errors import UsageError
from mhsa.records.request import Request
from mhsa.reports.line_folding import hanging, show
from mhsa.reports.live_line import LiveLine
from mhsa.reports.markdown_text import table, text
from mhsa.reports.tables import aligned

_HEAD = (
    "what was done",
    "runs",
    "comparisons",
    "slower",
    "cannot tell",
    "not slower",
    "slower, 95 %",
    "ratio",
    "a run, longest",
)


class SelfTest:
    """Compares one commit with itself until it is known how often the gate is right.

    Args:
        terms: of the comparisons.
        console: where progress is shown.
        checkout: the files of the commit.
        requests, benchmarks: the subjects, and what is measured of them.
        runs: with nothing changed; None for as many as 200 comparisons take.
        keep: is called whenever a run has ended: another may take minutes, and this one should not be lost.

    Attributes:
        trials: that have ended.
        left: the slow-downs of those that have not.
    """

    def __init__(
        self,
        terms: Terms,
        console: Console,
        checkout: Checkout,
        requests: Sequence[Request],
        benchmarks: Sequence[Benchmark],
        runs: int | None,
        keep: Callable[[], object],
    ) -> None:
        self.runs, self.console, self.keep = runs, console, keep
        self.checkouts = {"base": checkout, "head": checkout}
        self.comparing = Comparing(terms, console, self.checkouts, requests, benchmarks)
        self.notes = self.comparing.notes
        self.machine: dict[str, str | int] = {}
        self.trials: list[SelfTestRun] = []
        self.left: list[float] = []

    @property
    def threshold(self) -> float:
        """The smallest slow-down that matters."""
        return self.comparing.terms.threshold_of(apart=self.comparing.terms.apart)

    def run(self, *, verify: bool) -> None:
        """Make all runs that have not been made, until interrupted; ``verify`` the subjects first."""
        benchmarks = self.comparing.benchmarks
        slow_downs = promised(self.threshold)
        if any(b.request.device.partition(":")[0] != "cpu" for b in benchmarks):
            slow_downs = ()
            self.notes.append("slow-downs are made by keeping the CPU busy, which makes no GPU slower: false alarms only")
        self.left = planned(len(benchmarks), self.runs, slow_downs)
        for trial in self.trials:
            with contextlib.suppress(ValueError):  # the earlier self-test had more runs
                self.left.remove(trial.slow_down)
        if self.left and verify and (wrong := self.comparing.verify()):
            raise UsageError(f"{', '.join(wrong)}: wrong, so its time means nothing; mhsa verify says more")
        with contextlib.suppress(KeyboardInterrupt), LiveLine(self.console) as line:
            while self.left:
                number, most = len(self.trials) + 1, len(self.trials) + len(self.left)
                self._trial(self.left[0], f"run {number} of {most}{self._remaining()}", line)
                del self.left[0]
                self.keep()

    def _trial(self, slow_down: float, words: str, line: LiveLine) -> None:
        begin = time.monotonic()

        def show(doing: str) -> None:
            line.show(lambda: f"{words}: {_name(slow_down)}: {doing}", time.monotonic())

        terms = replace(self.comparing.terms, slow_down=slow_down)
        measuring = BothCommits(self.checkouts, self.comparing.benchmarks, terms, show)
        measuring.measure()
        self.machine = self.machine or measuring.machine
        verdicts = []
        for c in map(comparison_of, measuring.found):
            if c.decision is None:
                raise UsageError(f"{c.benchmark} cannot be measured: {c.words}; choose others with -k, --shape or --subject")
            verdicts.append(BenchmarkVerdict(c.benchmark, c.verdict, c.decision.ratio, c.rounds, c.words))
        self.trials.append(SelfTestRun(slow_down, time.monotonic() - begin, tuple(verdicts)))

    def _remaining(self) -> str:
        if not self.trials:
            return ""
        took: dict[float, list[float]] = {}
        for trial in self.trials:
            took.setdefault(trial.slow_down, []).append(trial.seconds)
        usual = statistics.mean(trial.seconds for trial in self.trials)
        seconds = sum(statistics.mean(took.get(slow_down, [usual])) for slow_down in self.left)
        return f", about {seconds / 60:.0f} min left"

    def print(self) -> None:
        """Print the table and what it says."""
        found = list(tallies(self.trials))
        if self.machine:
            show(self.console, hanging("", machine_line(self.machine), self.console.width, style="dim"))
        lines = aligned([_HEAD, *map(row, found)])
        self.console.print(Text(f"  {lines[0]}", style="bold"), soft_wrap=True)
        for line, tally in zip(lines[1:], found, strict=True):
            style = {True: "green", False: "bold red", None: ""}[tally.keeps(self.threshold)]
            self.console.print(Text(f"  {line}", style=style), soft_wrap=True)
        for note in self.notes:
            show(self.console, hanging("  ", note, self.console.width, style="yellow"))
        show(self.console, hanging("  ", self.sentence, self.console.width, style="green" if self.code == 0 else "bold red"))

    @property
    def code(self) -> int:
        """0: it is as good as it promises; 1: it is not; 2: that is not known."""
        kept = [tally.keeps(self.threshold) for tally in tallies(self.trials)]
        if self.left or not kept:
            return 2
        return 1 if False in kept else 0

    @property
    def sentence(self) -> str:
        """What was promised, and whether it was kept."""
        promised = (
            f"at most {ALARMS:.0%} false alarms, at least {FOUND:.0%} of slow-downs of {self.threshold:.0%} and more found"
        )
        kept = {0: "kept", 1: "NOT kept", 2: "interrupted, so this is what there is"}[self.code]
        return f"{promised}: {kept}"

    def markdown(self) -> str:
        """Return the table as Markdown."""
        lines = list(table(_HEAD, (list(map(text, row(tally))) for tally in tallies(self.trials))))
        lines += ["", *(f"- {text(note)}" for note in self.notes), self.sentence]
        return "\n".join([*lines, "", text(machine_line(self.machine)), ""])


def row(tally: Tally) -> tuple[str, ...]:
    """Return the cells of a tally."""
    low, high = tally.interval
    return (
        _name(tally.slow_down), str(len(tally.seconds)), str(tally.comparisons),
        *(str(count) for count in (tally.accused, *(tally.called.get(v, 0) for v in ("cannot tell", "not slower")))),
        f"{tally.share:.1%} ({low:.1%} to {high:.1%})", f"{tally.ratio:.3f}x",
        f"{statistics.median(tally.seconds):.0f} s, {max(tally.seconds):.0f} s",
    )  # fmt: skip


def _name(slow_down: float) -> str:
    return f"slower by {slow_down:.0%}" if slow_down else "nothing"
