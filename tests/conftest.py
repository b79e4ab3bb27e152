"""Shared: where things are, and one way to run the command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
