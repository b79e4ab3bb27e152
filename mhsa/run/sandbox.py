"""What a subject's process is given and how it is ended: no secrets, no terminal, no end of output, and nothing left of it."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from mhsa.run.fork_client import SERVER, TOKEN, Process
from mhsa.run.process_limits import PARENT

# Names of variables that hold secrets; a subject does not need them.
_SECRET = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|AUTH(?!OR)|COOKIE|NETRC|WEBHOOK", re.I
)
_KEPT = 64 * 1024  # bytes of output that are kept: the last ones, which show how it ended


def child_environment(folder: Path) -> dict[str, str]:
    """Return the variables of a process that runs a subject."""
    left_out = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_XDIST_WORKER", SERVER)
    environment = {k: v for k, v in os.environ.items() if k not in left_out and not _SECRET.search(k)}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # other people's plugins cost time and may change the run
    environment["HYPOTHESIS_STORAGE_DIRECTORY"] = str(folder / "hypothesis")
    environment[PARENT] = str(os.getpid())
    for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # cases are small: threads only wait for each other
        environment.setdefault(threads, "1")
    return environment


class Contained:
    """A process in a group of its own, whose output is read as it comes and mostly forgotten.

    Args:
        command: its arguments.
        folder: its own, for what it writes.
    """

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self.token = secrets.token_hex(8)
        ours, theirs = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            self.process = Process(command, child_environment(folder) | mark(self.token), (nothing, theirs, theirs))
        finally:
            os.close(nothing)
            os.close(theirs)
        self._output = open(ours, "rb", buffering=0)  # noqa: SIM115 - end() closes it
        self._tail = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # closed by end()
            while data := os.read(self._output.fileno(), _KEPT):
                self._tail += data
                del self._tail[:-_KEPT]

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def end(self) -> tuple[int, str]:
        """End it, if it has not ended, and everything that it started; return its exit code and the end of its output."""
        if self.running:
            self.process.kill()
        code = self.process.wait()
        end_group(self.process.pid, self.token)
        self._reader.join(2.0)  # a process that we may not kill could hold the pipe open
        if not self._reader.is_alive():
            self._output.close()
        return code, self._tail.decode(errors="replace")


def mark(token: str) -> dict[str, str]:
    """Return the variable by which the processes of a run are found again."""
    return {TOKEN: token}


def end_group(pid: int | None, token: str) -> None:
    """End what is left of a process' group, and what has left it and carries the token."""
    if pid:
        _kill_group(pid)
    for other in _marked(token):
        with contextlib.suppress(OSError):
            os.kill(other, signal.SIGKILL)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def _marked(token: str) -> list[int]:
    """Processes that carry the token in their environment (Linux; elsewhere the group has to do)."""
    wanted = f"{TOKEN}={token}".encode()
    processes = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError, ValueError):
            if wanted in entry.read_bytes():
                processes.append(int(entry.parent.name))
    return processes
