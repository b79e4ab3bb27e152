"""The comment that the workflow of ``mhsa init --ci`` writes: one, which each run writes anew, whoever else comments."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mhsa.bench.compare.pull_request.marker import MARKER
from mhsa.commands.init_files.workflow import workflow
from mhsa.records.distribution import Origin

# What GitHub's command line does with these arguments: a list in pages, a changed comment, or a new one.
GH = """
import json, pathlib, re, shutil, subprocess, sys
state = pathlib.Path(__file__).parent / "state.json"
data = json.loads(state.read_text())
words = sys.argv[1:]
data["calls"].append(words)
path = next(word for word in words if word.startswith("repos/"))
body = pathlib.Path(words[-1].removeprefix("body=@")).read_text() if words[-1].startswith("body=@") else None
if body is None:
    query, pages = words[words.index("--jq") + 1], [data["comments"][n : n + 2] for n in range(0, len(data["comments"]), 2)]
    for page in pages:
        if shutil.which("jq"):
            done = subprocess.run(["jq", "-r", query], input=json.dumps(page), capture_output=True, text=True, check=True)
            sys.stdout.write(done.stdout)
        else:
            start = re.search(r'startswith\\("(.*?)"\\)', query)[1]
            assert '.user.type == "Bot" and' in query
            for c in page:
                if c["user"]["type"] == "Bot" and c["body"].startswith(start):
                    print(c["id"])
elif "PATCH" in words:
    (comment,) = (c for c in data["comments"] if path.endswith(f"/comments/{c['id']}"))
    comment["body"] = body
elif "POST" in words:
    assert path == "repos/owner/name/issues/7/comments", path
    data["comments"].append({"id": 100 + len(data["comments"]), "user": {"type": "Bot"}, "body": body})
state.write_text(json.dumps(data))
"""


class GitHub:
    """A pull request with comments of others, and the step that comments on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        others = ["looks good", f"what is {MARKER} for?", f"{MARKER}\nI am no bot"]
        comments = [{"id": n, "user": {"type": "User"}, "body": body} for n, body in enumerate(others)]
        comments.append({"id": 9, "user": {"type": "Bot"}, "body": "coverage: 90 %"})
        (folder / "state.json").write_text(json.dumps({"comments": comments, "calls": []}))
        (folder / "gh.py").write_text(GH)
        (folder / "gh").write_text(f'#!/bin/sh\nexec {sys.executable} {folder}/gh.py "$@"\n')
        (folder / "gh").chmod(0o755)

    @property
    def step(self) -> dict[str, Any]:
        return yaml.safe_load(workflow("pip install -e .", Origin("1.0")))["jobs"]["speed"]["steps"][-1]

    def run(self, text: str | None) -> list[str]:
        """Run the step after ``mhsa compare`` has written something, or nothing; return the bodies of all comments."""
        file = self.folder / "speed.md"
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_text(text)
        known = {"GITHUB_REPOSITORY": "owner/name", "PULL_REQUEST": "7", "RUNNER_TEMP": str(self.folder), "LOG": "https://log",
                 "PATH": f"{self.folder}:{os.environ['PATH']}"}  # fmt: skip
        done = subprocess.run(["bash", "-e", "-c", self.step["run"]], env=known, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [c["body"] for c in json.loads((self.folder / "state.json").read_text())["comments"]]


@pytest.fixture
def github(tmp_path: Path) -> GitHub:
    return GitHub(tmp_path)


def test_there_is_one_comment_however_often_it_runs(github: GitHub) -> None:
    before = github.run(f"{MARKER}\nred")
    assert before[-1] == f"{MARKER}\nred"
    after = github.run(f"{MARKER}\ngreen")
    assert after == [*before[:-1], f"{MARKER}\ngreen"], "ours is changed, and nobody else's"


def test_a_comparison_that_failed_leaves_no_old_verdict(github: GitHub) -> None:
    github.run(f"{MARKER}\ngreen")
    after = github.run(None)
    assert after[-1] == f"{MARKER}\nmhsa compare has no verdict: see [the log](https://log).\n"
    assert github.run(f"{MARKER}\nred")[-1] == f"{MARKER}\nred"


def test_a_fork_has_no_right_to_comment_and_a_red_verdict_is_no_reason_not_to(github: GitHub) -> None:
    assert github.step["if"] == "${{ !cancelled() && github.event.pull_request.head.repo.full_name == github.repository }}"
