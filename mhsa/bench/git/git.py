"""Git, run without anything that could ask, hang or act on the user's behalf."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from mhsa.records.errors import UsageError

# No hook of the user's runs, no daemon is started, and nothing is tidied up on the way.
_SETTINGS = (f"core.hooksPath={os.devnull}", "core.fsmonitor=", "gc.auto=0", "maintenance.auto=false")


class GitError(UsageError):
    """Git cannot do what is needed: the message says what was given, what is wrong and what to do."""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git in a folder; the result has its exit code and output."""
    # Inside of a hook (pre-push, say), these name the repository and the index that the hook is about.
    left_out = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_NAMESPACE")
    environment = {k: v for k, v in os.environ.items() if k not in left_out} | {
        "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0",  # status would otherwise write the index anew
        "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never", "GCM_INTERACTIVE": "never",
    }  # fmt: skip
    # Files in LFS are mostly weights and data: gigabytes that no benchmark reads. Who needs them says so with a 0.
    environment.setdefault("GIT_LFS_SKIP_SMUDGE", "1")
    command = ["git", *(part for setting in _SETTINGS for part in ("-c", setting)), *arguments]
    try:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,  # no terminal to ask at; and Ctrl-C is ours to handle
        )  # fmt: skip
    except OSError as error:
        if isinstance(error, FileNotFoundError) and folder.is_dir():
            raise GitError("git is not found; install it, or add its folder to PATH") from None
        raise GitError(f"git cannot be run in {folder}: {error.strerror}") from None
    try:
        out, err = process.communicate()
    except BaseException:
        with contextlib.suppress(OSError):  # also what it started: nothing may write into a folder that is removed
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return subprocess.CompletedProcess(command, process.returncode, os.fsdecode(out), os.fsdecode(err))


def words_of(result: subprocess.CompletedProcess[str]) -> str:
    """Return git's message, in one line."""
    lines = [line for line in result.stderr.splitlines() if line.strip()] or [f"it ended with {result.returncode}"]
    errors = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines[-1:]
    return "; ".join(line.removeprefix("fatal: ").removeprefix("error: ") for line in errors)


def no_repository(folder: Path, words: str) -> str:
    """Return why there is no repository, from git's message, and what to do."""
    if "not a git repository" in words:
        return f"{folder} is not in a git repository; go to one, or make it one: git init, git add, git commit"
    if "work tree" in words:
        return f"{folder} is in a bare repository or in .git itself; go to a working tree of it (git clone, git worktree add)"
    if "dubious ownership" in words:
        return f"{folder} belongs to another user, so git does not trust it; git config --global --add safe.directory FOLDER"
    return f"git cannot read {folder}: {words}"
