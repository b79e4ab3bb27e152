"""mhsa history: nothing is lost or left, whatever ends the run. A process that answers at once stands in for torch's."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mhsa.bench.history.measure as measuring
from mhsa.bench.history.asv_publish import PublishError, Site, publish, site_of
from mhsa.bench.measure.measurement import Counters, Measurement
from mhsa.bench.measure.run import Run
from mhsa.commands.cli import main
from mhsa.records.distribution import install_hint
from mhsa.records.shape import SHAPES
from tests.helpers.repository import QUICK_HISTORY, Repository

KEY = "attention.Attention.track_{}"
MACHINE = {"device": "cpu", "cpu": "EPYC", "cores": 2, "threads": 1, "torch": "2.13.0", "python": "3.11.7", "os": "Linux"}


class Faked:
    """Answers for the measuring process; ``calls`` are (message of the commit, shapes)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, tuple[str, ...]]] = []
        self.machine: dict[str, Any] = dict(MACHINE)
        self.ratios: dict[str, float] = {}
        monkeypatch.setattr(measuring, "machine_of", lambda device: dict(self.machine))
        monkeypatch.setattr(measuring, "run", self.run)

    def run(self, plan: Any, listen: Any, timeout: float) -> Run:
        folder = plan.checkout.folder
        message = subprocess.run(
            ["git", "log", "-1", "--format=%s"], cwd=folder, check=True, capture_output=True, text=True
        ).stdout.strip()
        self.calls.append((message, tuple(shape.name for shape, _, _ in plan.cells)))
        assert plan.keeping, "commits have processes of their own, and figures of several are compared"
        ratio = self.ratios.get(message, 1.0)
        found = [
            made(ratio=ratio, implementation=c.name, passes=p, shape=shape, dtype=dtype, device=device)
            for shape, dtype, device in plan.cells for c in plan.contenders for p in plan.passes
        ]  # fmt: skip
        return Run(found, dict(self.machine))


def made(ratio: float = 1.0, **more: Any) -> Measurement:
    usual = {"implementation": "att", "passes": "forward", "shape": SHAPES["exercise"], "dtype": "float32", "device": "cpu",
             "outcome": "measured", "seconds": ratio * 1e-3, "low": ratio * 0.99, "high": ratio * 1.01,
             "counters": Counters(operators=14, flops=1000, allocated=5000, peak=4096)}  # fmt: skip
    return Measurement(**{**usual, "ratio": ratio, **more})


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    folder = tmp_path / "pack"
    folder.mkdir()
    monkeypatch.chdir(folder)
    repository = Repository(folder)
    for n in range(3):
        repository.commit(f"words {n}", {"README.md": f"{n}\n"})
    return repository


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> Faked:
    return Faked(monkeypatch)


def history(*arguments: str) -> int:
    return main(["history", *arguments, *QUICK_HISTORY, "--no-publish", "--json", "../out.json"])


def files(repository: Repository) -> dict[Path, str]:
    return {p: p.read_text() for p in sorted((repository.folder / ".asv").rglob("*")) if p.is_file()}


def test_the_order_is_that_of_a_bisection(repository: Repository, faked: Faked, capsys: pytest.CaptureFixture[str]) -> None:
    assert history() == 0
    assert [message for message, _ in faked.calls] == ["words 2", "configuration", "words 0", "module", "words 1"]
    assert sorted(measuring.bisected(33)) == list(range(33))
    assert list(measuring.bisected(1)) == [0]
    assert "no steps" in capsys.readouterr().out


def test_nothing_is_measured_twice_and_nothing_lost(
    repository: Repository, faked: Faked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert history("HEAD~1..HEAD") == 0
    assert history("HEAD~2..HEAD") == 0
    assert [message for message, _ in faked.calls] == ["words 2", "words 1"]
    assert "1 of 2 commits are there already, the others are measured" in capsys.readouterr().out
    assert history("HEAD~2..HEAD", "--shape", "wide", "--pass", "training") == 0
    two = [("wide",), ("exercise",)]  # both passes of one shape, one of the other: not the same process
    assert faked.calls[2:] == [(message, shapes) for message in ("words 2", "words 1") for shapes in two]
    (path,) = (p for p in files(repository) if p.name.startswith(repository.git("rev-parse", "HEAD")[:8]))
    data = json.loads(path.read_text())
    values, params, *_ = data["results"][KEY.format("ratio_to_baseline")]
    assert params[1:3] == [["'forward'", "'training'"], ["'exercise'", "'wide'"]]
    assert values == [1.0] * 4
    described = json.loads((path.parent.parent / "benchmarks.json").read_text())
    assert described[KEY.format("ratio_to_baseline")]["params"] == params
    before = files(repository)
    assert history("HEAD~2..HEAD") == 0
    assert files(repository) == before
    assert history("HEAD", "--again") == 0
    assert len(faked.calls) == 7


def test_what_asv_itself_has_measured_stays(repository: Repository, faked: Faked) -> None:
    results = repository.folder / ".asv" / "results"
    assert history("HEAD") == 0
    (path,) = results.glob("cpu-*/*-mhsa.json")
    data = json.loads(path.read_text())
    data["result_columns"] = ["result", "params", "version", "started_at", "duration", "stats_ci_99_a", "samples"]
    data["results"]["other.time_import"] = [[0.5], [], "x", 1, 2.0, [0.4], [[0.5]]]
    path.write_text(json.dumps(data))
    described = json.loads((results / "benchmarks.json").read_text())
    described["other.time_import"] = {"name": "other.time_import", "params": [], "param_names": [], "version": "x"}
    described[KEY.format("seconds")]["params"][0] = ["'fused'", "'att'"]
    (results / "benchmarks.json").write_text(json.dumps(described))
    assert history("HEAD", "--shape", "wide") == 0
    data = json.loads(path.read_text())
    assert dict(zip(data["result_columns"], data["results"]["other.time_import"], strict=True))["samples"] == [[0.5]]
    described = json.loads((results / "benchmarks.json").read_text())
    assert described["other.time_import"]["version"] == "x"
    assert described[KEY.format("seconds")]["params"][:3] == [["'fused'", "'att'"], ["'forward'"], ["'exercise'", "'wide'"]]


def test_a_label_that_stands_for_something_else_is_measured_again(repository: Repository, faked: Faked) -> None:
    assert history("HEAD") == 0
    text = (repository.folder / "pyproject.toml").read_text()
    (repository.folder / "pyproject.toml").write_text(text.replace("attention:Attention", "other:Attention"))
    assert history("HEAD") == 0
    assert len(faked.calls) == 2


def test_series_of_different_machines_are_not_joined(
    repository: Repository, faked: Faked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert history("HEAD~3..HEAD~1") == 0
    for what, other in (("torch", "2.14.0"), ("cpu", "Xeon"), ("threads", 2)):
        faked.calls.clear()
        faked.machine = {**MACHINE, what: other}
        faked.ratios = dict.fromkeys([f"words {n}" for n in range(3)], 9.0)
        assert history("HEAD~3..HEAD") == 0
        assert len(faked.calls) == 3, "what is known of the other machine does not count here"
        assert "slower" not in capsys.readouterr().out
    assert len(list((repository.folder / ".asv" / "results").glob("cpu-*"))) == 4
    faked.machine = {**MACHINE, "cores": 64, "os": "another kernel"}
    faked.calls.clear()
    assert history("HEAD~3..HEAD~1") == 0
    assert faked.calls == []


def test_a_full_disk_is_told_and_loses_nothing(
    repository: Repository, faked: Faked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert history("HEAD~1") == 0
    before = files(repository)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("mhsa.bench.history.store.os.fsync", full)
    with pytest.raises(SystemExit) as stopped:
        history()
    assert stopped.value.code == 2
    assert "results cannot be written to" in (said := capsys.readouterr().err)
    assert "No space left on device; what was written before is as it was" in said
    assert files(repository) == before
    assert repository.worktrees() == []


def test_an_interruption_keeps_what_is_measured(
    repository: Repository, faked: Faked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(plan: Any, listen: Any, timeout: float) -> Run:
        return faked.run(plan, listen, timeout) if len(faked.calls) < 2 else Run(interrupted=True)

    monkeypatch.setattr(measuring, "run", run)
    assert history() == 2
    said = capsys.readouterr()
    assert "interrupted; what was measured until then is kept, and the same command goes on from there" in said.err
    assert "2 commits measured" in said.out
    assert json.loads(Path("../out.json").read_text())["partial"]
    assert repository.worktrees() == []
    monkeypatch.setattr(measuring, "run", faked.run)
    faked.calls.clear()
    assert history() == 0
    assert [message for message, _ in faked.calls] == ["words 0", "module", "words 1"]


def test_nothing_measured_anywhere_is_no_history(
    repository: Repository, faked: Faked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(plan: Any, listen: Any, timeout: float) -> Run:
        found = faked.run(plan, listen, timeout)
        reason = f"import of pack failed: {plan.checkout.tree}/pack/attention.py, line 1"
        return replace(found, measurements=[replace(m, outcome="n/a", reason=reason) for m in found.measurements])

    monkeypatch.setattr(measuring, "run", run)
    monkeypatch.setenv("COLUMNS", "400")  # nothing is folded
    assert history("HEAD~2..HEAD") == 2
    said = capsys.readouterr()
    assert "nothing could be measured at any commit" in said.err
    assert "import of pack failed: pack/attention.py, line 1" in said.out, "worktrees are gone when this is read"
    faked.calls.clear()
    assert history("HEAD~2..HEAD") == 2
    assert faked.calls == [], "a reason is a result, too"


def test_a_machine_that_cannot_measure_says_nothing_of_a_commit(
    repository: Repository, faked: Faked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(plan: Any, listen: Any, timeout: float) -> Run:
        reason = "the process was killed by SIGKILL while it was in: importing torch"
        return Run([replace(m, outcome="n/a", reason=reason) for m in faked.run(plan, listen, timeout).measurements])

    monkeypatch.setattr(measuring, "run", run)
    with pytest.raises(SystemExit) as stopped:
        history()
    assert stopped.value.code == 2
    assert "nothing can be measured here: the process was killed" in capsys.readouterr().err
    assert files(repository) == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere..HEAD"], "'nowhere' is not a commit"),
        (["HEAD..HEAD~1"], "HEAD~1 is the older one"),
        (["-k", "nothing"], "no benchmark has 'nothing' in its name; there are: att forward exercise float32"),
        (["--shape", "excercise"], "did you mean 'exercise'?"),
        (["--json", "nowhere/x.json"], "there is no folder"),
        (["--subject", "at"], "did you mean att?"),
        (["--results", "README.md"], "results cannot be written to"),
    ],
)
def test_bad_usage(
    repository: Repository, faked: Faked, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["history", *QUICK_HISTORY, "--no-publish", *arguments])
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err
    assert faked.calls == []
    assert repository.worktrees() == []
    assert repository.git("status", "--porcelain") == ""


def test_outside_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["history", "--subject", "pack:Attention", "--no-publish"])
    assert stopped.value.code == 2
    assert "is not in a git repository" in capsys.readouterr().err


def test_without_asv(
    repository: Repository, faked: Faked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mhsa.bench.history.asv_publish.is_installed", lambda: False)
    with pytest.raises(SystemExit) as stopped:
        main(["history"])
    assert stopped.value.code == 2
    assert f"asv is not installed: {install_hint('asv')}, or say --no-publish" in capsys.readouterr().err
    assert history("HEAD") == 0
    assert "steps are found by asv, which is not installed" in capsys.readouterr().out


def test_a_shallow_clone_is_measured_as_far_as_it_goes(
    repository: Repository, faked: Faked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.git("clone", "-q", "--depth", "2", f"file://{repository.folder}", str(tmp_path / "shallow"))
    monkeypatch.chdir(tmp_path / "shallow")
    assert history() == 0
    assert [message for message, _ in faked.calls] == ["words 2", "words 1"]
    assert "there are 2 commits here, not 20: this is a shallow clone" in capsys.readouterr().out


def test_six_benchmarks_stand_in_one_table(
    repository: Repository, faked: Faked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    faked.ratios = {"words 2": 1.25}
    assert main(["history", "--no-publish", "--no-color"]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("att, float32, cpu: time / baseline")
    assert lines[start + 3].split() == ["forward", "training"] * 3
    assert lines[start + 8].split() == [repository.git("rev-parse", "HEAD")[:7], *["1.25x"] * 6, "words", "2"]
    assert lines[start + 9].split()[:3] == ["time", "1.25", "ms"]
    assert max(map(len, lines[start : start + 11])) <= 100
    assert sum(line.startswith("  slower: att ") for line in lines) == 6


def test_what_is_accepted_is_marked_in_the_table_the_json_and_the_page(
    repository: Repository, faked: Faked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # nothing is folded
    slow = repository.git("rev-parse", "HEAD~1").strip()
    entry = f'[[accepted]]\nreason = "for accuracy"\ncommit = "{slow}"\n[accepted.figures]\n"att *" = "1.5x"\n'
    repository.commit("accept", {"mhsa-accepted.toml": entry})
    repository.commit("slower\n\nMhsa-accept: att *: 1.1x", {"README.md": "x"})
    faked.ratios = {"words 1": 1.5, "words 2": 1.5, "accept": 1.5, "slower": 2.5}
    assert history("HEAD~4..HEAD", "--html", "../history.html") == 0
    out = capsys.readouterr().out
    assert "slower: att forward exercise float32 from 1.50x to 2.50x" in out
    assert "to be sure: mhsa compare" in out
    assert "without a reason; write why behind it: Mhsa-accept: BENCHMARK: 1.15x: REASON" in out, "a note, and no end"
    assert history("HEAD~5..HEAD", "--html", "../history.html") == 0
    out = capsys.readouterr().out
    assert "    accepted, 1.500x: for accuracy\n" in out
    steps = json.loads(Path("../out.json").read_text())["steps"]
    assert [(s["commit"] == slow, s["accepted"] and s["accepted"]["reason"]) for s in steps] == [
        (True, "for accuracy"),
        (False, None),
    ]
    page = Path("../history.html").read_text()
    assert "2 steps in 5 commits, 1 accepted" in page
    assert "✓ accepted, 1.500x: for accuracy" in page


def test_a_killed_run_is_gone_on_with(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only one of these that measures: a process that is killed cannot be faked."""
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-m", "mhsa", "history", "HEAD~3..HEAD", *QUICK_HISTORY, "--no-publish"]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    results = repository.folder / ".asv" / "results"
    deadline = time.monotonic() + 120
    while not list(results.glob("cpu-*/*-mhsa.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (kept,) = results.glob("cpu-*/*-mhsa.json")
    before = json.loads(kept.read_text())
    done = subprocess.run([*command, "--json", "../out.json"], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "1 of 3 commits are there already, the others are measured" in done.stdout
    assert json.loads(kept.read_text()) == before
    assert all(json.loads(p.read_text()) for p in files(repository))
    assert repository.worktrees() == []
    assert list((tmp_path / "tmp").glob("mhsa-tree-*")) == []


def test_where_the_page_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "pack"
    (root / "sub").mkdir(parents=True)
    monkeypatch.chdir(root)
    site = site_of(root / "sub", root, None)
    assert (site.results, site.pages, site.path) == (root / ".asv/results", root / ".asv/html", None)
    assert site.configuration["branches"] == ["HEAD"]
    assert site.configuration["regressions_first_commits"] == {".*track_seconds": None}
    (root / "asv.conf.json").write_text(
        '{"version": 1, "repo": ".", // the user\'s\n "results_dir": "figures", "project": "//"}'
    )
    site = site_of(root / "sub", root, None)
    assert (site.results, site.pages, site.path) == (root / "figures", root / "html", root / "asv.conf.json")
    assert (site.configuration["project"], site.look) == ("//", "asv preview")
    site = site_of(root / "sub", root, tmp_path / "elsewhere")  # then the user's own page is left alone
    assert (site.results, site.pages, site.path) == (tmp_path / "elsewhere", tmp_path / "elsewhere-html", None)


def test_a_folder_that_is_no_page_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "mine").write_text("x")
    site = Site(tmp_path / "results", tmp_path / "html")
    with pytest.raises(PublishError, match="exists and was not made by asv, which would replace it; move it away"):
        publish(site)
    assert (tmp_path / "html" / "mine").read_text() == "x"


def test_what_asv_says_is_shown_where_it_fails(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match=r"(?s)asv publish failed with exit code 1; it printed:\n.*No repo specified"):
        publish(Site(tmp_path / "results", tmp_path / "html", {"version": 1}))


def test_a_device_that_is_not_there(
    repository: Repository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(SystemExit) as stopped:
        main(["history", "--device", "cuda", "--no-publish"])
    assert stopped.value.code == 2
    assert "nothing can be measured on cuda: " in capsys.readouterr().err
    assert files(repository) == {}
