"""Starts the processes that need torch: forked from one that has it imported, where that is possible, and else anew.

A run has a fork server of its own: it is started for the first process, and does for that one what it would have done itself.
The variable MHSA_FORKSERVER names the socket of a server that is there already; the tests of this project share one.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from mhsa.run.forked_process import home

SERVER = "MHSA_FORKSERVER"  # the variable that names the socket of a shared server
ROOM = "MHSA_ROOM"  # a variable of a server that takes up room, so that a child's variables fit in the place of the server's
TOKEN = "MHSA_RUN"  # marks the processes of a run, so that those which left its group are found as well
_START = [sys.executable, "-P", "-m"]
_MODULES = (
    "pytest",
    "mhsa.bugs.diagnosis.worker",
)  # what the server of a run is for; what is timed begins in a process of its own
_ROOM = 2**14  # bytes that a child's variables may take up beyond the server's
_PATIENCE = 10.0  # seconds in which a shared server has answered


class Process:
    """A process in a session of its own, for what we need of :class:`subprocess.Popen`.

    Args:
        command: what it runs. Forked is one that begins with ``python -P -m`` and a module that a server knows.
        environment: all of its variables.
        streams: the files of its standard input, output and error.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], streams: Sequence[int]) -> None:
        self.command, self.environment = list(command), dict(environment)
        self.pid: int | None = None  # None while a server imports
        self.returncode: int | None = None
        self._popen: subprocess.Popen[bytes] | None = None
        self._streams = [os.dup(stream) for stream in streams]
        warm = self.command[: len(_START)] == _START
        self._connection = _connect(self.command[len(_START)], self.environment) if warm else None
        if self._connection is None or not self._ask(self._connection):
            self._start()

    def _ask(self, connection: socket.socket) -> bool:
        message = {"arguments": self.command[len(_START) :], "environment": self.environment, "home": home()}
        request = json.dumps(message).encode()
        folder = os.open(".", os.O_RDONLY)
        try:
            socket.send_fds(connection, [request], [*self._streams, folder])
        except OSError:  # the server is gone, or the request too long
            return False
        finally:
            os.close(folder)
        return True

    def _start(self) -> None:
        stdin, stdout, stderr = self._streams
        self._popen = subprocess.Popen(
            self.command, stdin=stdin, stdout=stdout, stderr=stderr, env=self.environment, start_new_session=True
        )
        self._begun(self._popen.pid)

    def _begun(self, pid: int) -> None:
        self.pid = pid
        for stream in self._streams:
            os.close(stream)
        self._streams = []

    def poll(self) -> int | None:
        """Return its exit code, as Popen does, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; return its exit code.

        Raises:
            subprocess.TimeoutExpired: it runs still.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            left = None if until is None else max(0.0, until - time.monotonic())
            if self._popen is not None:
                self.returncode = self._popen.wait(left)
            else:
                self._hear(left)
        return self.returncode

    def _hear(self, patience: float | None) -> None:
        assert self._connection is not None
        self._connection.settimeout(patience)
        try:
            said = json.loads(self._connection.recv(4096) or "{}")
        except (BlockingIOError, TimeoutError):
            raise subprocess.TimeoutExpired(self.command, patience or 0.0) from None
        except OSError:
            said = {}
        if "pid" in said:
            self._begun(said["pid"])
            return
        self._connection.close()
        if self.pid is None:  # it was refused, or the server has not come to it
            self._start()
        else:  # a server that is gone has taken it along
            self.returncode = said.get("code", -signal.SIGKILL)

    def kill(self) -> None:
        """End it and its group."""
        if self.pid is None and SERVER in os.environ:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._hear(_PATIENCE)
        if self.pid is not None:
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
        else:  # the server does not answer
            end_server()
            self.returncode = -signal.SIGKILL
            self._connection.close()  # type: ignore[union-attr]
            self._begun(0)


class _Own:
    """The server of this process."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.source, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = start_server(theirs, environment)

    def connect(self) -> socket.socket | None:
        """Return a connection that only the two processes can use."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                socket.send_fds(self.source, [b"."], [theirs.fileno()])
            except OSError:  # it is gone
                ours.close()
                return None
        return ours

    def end(self) -> None:
        """End it, and with it its children."""
        self.source.close()
        self.process.kill()
        self.process.wait()


_own: _Own | None = None


def start_server(source: socket.socket, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a server; it answers on a socket that listens, or is the end of a pair."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", "from mhsa.run.fork_server import main; main()"],
        stdin=source.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        env={name: value for name, value in environment.items() if name != TOKEN} | {ROOM: "." * _ROOM},
    )  # fmt: skip


def end_server() -> None:
    """End the server of this process, if it has one."""
    if _own is not None:
        _own.end()


def _connect(module: str, environment: Mapping[str, str]) -> socket.socket | None:
    """Return a connection to a server that can run a module, if there is one."""
    global _own
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return None
    if address := os.environ.get(SERVER):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.connect(address)
        except OSError:
            connection.close()
            return None
        return connection
    if module not in _MODULES:
        return None
    if _own is None:
        _own = _Own(environment)
        atexit.register(end_server)
    return _own.connect()
