"""mhsa history of a few commits that are measured: what it says of them, and what asv reads of it."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mhsa.bench.history.asv_publish import site_of
from mhsa.bench.tools.asv_suite import Suite
from tests.helpers.repository import MEMORY, MODULE, QUICK_HISTORY, SCALE, Repository

SLOWER = MODULE.replace("        scores = (q", "        for _ in range(200):\n            q @ k.mT\n        scores = (q")
KEY = "attention.Attention.track_{}"


@dataclass
class Told:
    """What one real run over a few commits has left."""

    repository: Repository
    out: str
    data: dict[str, Any]

    @property
    def folder(self) -> Path:
        (found,) = (self.repository.folder / ".asv" / "results").glob("cpu-*")
        return found

    def file(self, message: str) -> dict[str, Any]:
        (found,) = self.folder.glob(f"{self.sha(message)[:8]}-*.json")
        return json.loads(found.read_text())

    def sha(self, message: str) -> str:
        return self.repository.git("log", "--format=%H", f"--grep=^{message}$").strip()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("history") / "pack"
    folder.mkdir()
    repository = Repository(folder)
    repository.commit("words", {"README.md": "words\n"})
    repository.commit("slow", {"pack/attention.py": SLOWER})
    repository.commit("memory", {"pack/attention.py": MEMORY})
    repository.commit("wrong", {"pack/scale.py": SCALE.replace("math.sqrt(d_k)", "d_k")})
    repository.commit("right", {"pack/scale.py": SCALE})
    (folder / "pack" / "scale.py").write_text("being edited")
    command = [sys.executable, "-m", "mhsa", "history", *QUICK_HISTORY, "--json", "../out.json"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, env={**os.environ, "COLUMNS": "100"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Told(repository, done.stdout, json.loads((folder / "../out.json").read_text()))


def test_each_commit_is_told_in_the_right_words(told: Told) -> None:
    lines = told.out.splitlines()
    table = [line for line in lines if re.match("  [0-9a-f]{7} ", line)]
    assert [line.split()[-1] for line in table] == ["configuration", "module", "words", "slow", "memory", "wrong", "right"]
    assert [line.split()[1] for line in table][0::5] == ["n/a", "wrong"]
    assert "att forward exercise float32: time / baseline, time, peak memory" in lines
    slow, memory = told.sha("slow")[:7], told.sha("memory")[:7]
    assert re.search(rf"  slower: att forward exercise float32 from \d\.\d\dx to \d+\.\d\dx at {slow} 'slow'", told.out)
    assert f"to be sure: mhsa compare {told.sha('words')[:7]} {slow}" in told.out
    assert "  faster: att forward exercise float32 from" in told.out
    assert re.search(rf"  more operators: att forward exercise float32 from \d+ to \d+ at {slow} 'slow'", told.out)
    assert re.search(rf"  more memory: att forward exercise float32 from .* KiB to .* KiB at {memory} 'memory'", told.out)
    assert re.search(rf"  wrong: att forward exercise float32 at {told.sha('wrong')[:7]} 'wrong': output", told.out)
    assert f"n/a: att forward exercise float32 at {told.sha('configuration')[:7]}: import of pack.attention" in told.out
    assert re.search(r"7 commits measured, \d+\.\d s each", told.out)
    assert told.repository.worktrees() == []


def test_the_figures_are_in_asvs_files(told: Told) -> None:
    words, wrong, missing = told.file("words"), told.file("wrong"), told.file("configuration")
    assert (words["commit_hash"], words["version"]) == (told.sha("words"), 2)
    assert words["date"] == 1000 * int(told.repository.git("log", "-1", "--format=%ct", told.sha("words")))
    ratio, params, version, *_ = words["results"][KEY.format("ratio_to_baseline")]
    (entry,) = words["mhsa"]
    assert ratio == [entry["measurement"]["ratio"]]
    assert params == [["'att'"], ["'forward'"], ["'exercise'"], ["'float32'"], ["'cpu'"]]
    assert version == Suite.version
    assert words["results"][KEY.format("operators")][0] == [entry["measurement"]["counters"]["operators"]]
    assert wrong["results"][KEY.format("seconds")][0] == [None], "which is failed"
    (value,) = missing["results"][KEY.format("seconds")][0]
    assert value != value, "which is n/a"
    assert words["params"]["machine"] == told.folder.name
    assert set(words["params"]) == {"machine", "cpu", "threads", "torch", "memory"}, "each further one would split the series"
    machine = json.loads((told.folder / "machine.json").read_text())
    assert (machine["machine"], machine["threads"]) == (told.folder.name, "1")
    assert not list(told.folder.glob(".*"))


def test_asv_reads_them(told: Told) -> None:
    page = told.repository.folder / ".asv" / "html"
    index = json.loads((page / "index.json").read_text())
    assert next(iter(index["benchmarks"])) == KEY.format("ratio_to_baseline"), "asv's page begins with it"
    assert index["params"]["machine"] == [told.folder.name]
    graphs = list(page.glob("graphs/**/attention.Attention.track_ratio_to_baseline.json"))
    (points,) = (json.loads(graph.read_text()) for graph in graphs if "summary" not in graph.parts)
    assert sum(value is not None for _, (value,) in points) == 5
    listed = json.loads((page / "regressions.json").read_text())["regressions"]
    assert any("track_operators" in entry[0] for entry in listed)
    assert not any("track_seconds" in entry[0] for entry in listed), "of seconds, a step is often the machine's"
    configuration = told.repository.folder.parent / "asv.conf.json"
    configuration.write_text(json.dumps(site_of(told.repository.folder, told.repository.folder, None).configuration))
    command = [sys.executable, "-m", "asv", "--config", str(configuration), "compare", told.sha("words"), told.sha("slow")]
    done = subprocess.run(command, cwd=told.repository.folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\| \+ .*track_ratio_to_baseline\('att', 'forward', 'exercise', 'float32', 'cpu'\)", done.stdout)


def test_the_json(told: Told) -> None:
    data = told.data
    assert (data["schema"], data["exit_code"], data["partial"]) == ("mhsa-history-1", 0, False)
    assert data["series"]["cpu"]["name"] == told.folder.name
    assert [c["message"] for c in data["commits"]][-2:] == ["wrong", "right"]
    assert all(len(c["measurements"]) == 1 and c["measured_now"] for c in data["commits"])
    words = [(step["words"], step["commit"]) for step in data["steps"]]
    assert ("slower", told.sha("slow")) in words
    assert ("wrong", told.sha("wrong")) in words


def test_the_page_in_a_browser(told: Told, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    from tests.helpers import asv_page as asvpage

    page = told.repository.folder / ".asv" / "html"
    with asvpage.opened(page, asvpage.libraries(request.config)) as tab:
        tab.wait_for_selector(".benchmark-container")
        assert tab.locator(".benchmark-text").first.inner_text() == "1 time / baseline"
        tab.goto(tab.url + "#" + KEY.format("ratio_to_baseline"))
        tab.wait_for_selector("#main-graph canvas.flot-base")
        tab.wait_for_function("$('#main-graph').data('plot') && $('#main-graph').data('plot').getData().length > 0")
        (line,) = tab.evaluate("$('#main-graph').data('plot').getData().map((series) => series.data)")
        tab.screenshot(path=tmp_path / "ratio.png")
        if os.environ.get("MHSA_SHOT"):
            shutil.copy(tmp_path / "ratio.png", os.environ["MHSA_SHOT"])
    assert sum(value is not None for _, value in line) == 5
    assert (tmp_path / "ratio.png").stat().st_size > 10_000
