"""Shared: where things are, one way to run the command line, and one to judge subjects by chosen properties."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mhsa.catalogue import catalogue, properties_folder, property_id

os.environ.setdefault("OMP_NUM_THREADS", "1")  # cases are small: threads would only wait for each other, ten times as long
ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "corpus"


def run_mhsa(*arguments: object, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would, wide enough that no line is folded."""
    return subprocess.run(
        [sys.executable, "-m", "mhsa", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"COLUMNS": "400"} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def mhsa():
    return run_mhsa


@pytest.fixture
def corpus() -> Path:
    return CORPUS


@pytest.fixture(scope="session")
def judge_pairs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[set[tuple[str, str]]], dict[tuple[str, str], str]]:
    """A function that judges pairs (subject, property) in one run of the quick profile, and returns their outcomes."""

    def judge(wanted: set[tuple[str, str]]) -> dict[tuple[str, str], str]:
        folder = tmp_path_factory.mktemp("pairs")
        subjects = sorted({subject for subject, _ in wanted})
        skip = [[n, p.id] for n, s in enumerate(subjects, 1) for p in catalogue() if (s, p.id) not in wanted]
        (folder / "skip.json").write_text(json.dumps(skip))
        # -k "" would leave the slow ones out; this expression selects everything.
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", str(properties_folder()), "-k", "test_",
                   "--report-log", str(folder / "log.jsonl"), "--attention-skip", str(folder / "skip.json"), "--no-summary",
                   "--attention-no-shrink", *(f"--attention={s}" for s in subjects)]  # fmt: skip
        subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
        found = {}
        for line in (folder / "log.jsonl").read_text().splitlines():
            event = json.loads(line)
            said = dict(event.get("user_properties", ()))
            if "mhsa" in said:
                found[subjects[said["mhsa"]["number"] - 1], property_id(event["nodeid"])] = said["mhsa"]["outcome"]
        return found

    return judge
