"""pytest-benchmark times those that are right, and the others say why not."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mhsa.bench.measure.measurement import BASELINE, PASSES
from mhsa.commands.bench import COMPARED
from mhsa.records.shape import shape_of
from tests.helpers.places import ROOT
from tests.helpers.timed import SUBJECTS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench")
    (path / "subjects.py").write_text(SUBJECTS)
    return path


class TestDesk:
    """pytest-benchmark."""

    def desk(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        haste = ("--benchmark-max-time=0.01", "--benchmark-min-rounds=1", "--benchmark-warmup=off", "-p", "no:cacheprovider")
        # This test may itself run in a worker of xdist, where there are no benchmarks.
        alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        return subprocess.run(
            [sys.executable, "-m", "pytest", "benchmarks", "--benchmark-only", "-q", *haste, *arguments],
            cwd=ROOT, env=alone | {"COLUMNS": "300"}, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    def test_those_that_are_compared_are_a_group_and_all_others_say_why_not(self, folder: Path, tmp_path: Path) -> None:
        shapes = ("--attention-shape", "exercise", "--attention-shape", "1x8x2x8")
        names = [f"{folder}/subjects.py:{name}" for name in ("Right", "Wrong", "small", "Raises")]
        subjects = [word for name in (*names, "nosuch:thing") for word in ("--attention", name)]
        file = tmp_path / "o.json"
        done = self.desk(*subjects, *shapes, f"--benchmark-json={file}", "-rs")
        assert done.returncode == 1
        assert "26 passed, 2 skipped, 8 errors" in done.stdout
        assert "n/a: TypeError: half of what I need" in done.stdout
        assert done.stdout.count("import of nosuch failed: ModuleNotFoundError") >= 4
        assert done.stdout.count("failed: wrong result: output") >= 4
        groups: dict[str, list[dict[str, Any]]] = {}
        for benchmark in json.loads(file.read_text())["benchmarks"]:
            groups.setdefault(benchmark["group"], []).append(benchmark)
        assert set(groups) == {f"{p}, {s.name} ({s}), float32, cpu" for p in PASSES for s in map(shape_of, shapes[1::2])}
        for group, those in groups.items():
            measured = [benchmark["param"].partition(f"-{group.partition(',')[0]}-")[0] for benchmark in those]
            right = [
                name for name in names if not name.endswith((":Wrong", ":Raises")) or ("T=16" in group and "Raises" in name)
            ]
            assert measured == [*right, *COMPARED, BASELINE]
            length = those[0]["extra_info"]["compared queries"]
            assert {b["extra_info"]["compared queries"] for b in those} == {length}
            sizes = [b["extra_info"]["shape"] for b in those]
            assert "H=3 d_model=24" in sizes[1]
            assert len(set(sizes)) == 2

    def test_an_unknown_shape_is_bad_usage(self) -> None:
        done = self.desk("--attention", "fused", "--attention-shape", "exercice")
        assert "no shape 'exercice'" in done.stdout + done.stderr
        assert "did you mean 'exercise'?" in done.stdout + done.stderr
        assert "_hookexec" not in done.stdout + done.stderr
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
