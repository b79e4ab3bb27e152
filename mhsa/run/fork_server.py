"""The process that has torch, Hypothesis and the judge imported, and forks a child for each request.

Importing them takes longer than judging many a subject; a forked child has them already. The server itself runs nothing of a
subject, has one thread, and uses no GPU, so a child begins as clean as a new process does; :mod:`mhsa.run.forked_process` says
what a child is given. Requests come from :mod:`mhsa.run.fork_client`. Linux only.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import re
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mhsa.records.catalogue import catalogue
from mhsa.run import forked_process as forking
from mhsa.run.process_limits import end_with_parent

MESSAGE = 2**17  # bytes of a request at most: arguments and an environment are some thousands
MODULES = (
    "pytest",
    "mhsa.bugs.diagnosis.worker",
    "mhsa.bench.measure.worker",
    "mhsa.bench.compare.worker",
)  # what a request may run
# What is imported beforehand: no more than what judging imports. Hypothesis draws constants from the files of imported modules.
_BEFOREHAND = ("pytest", "mhsa.judge.judge")
# Variables that Python or a library reads when it starts: a child that needs other values is started as a new interpreter.
_EARLY = re.compile(
    r"PYTHON|LD_|LANG|LC_|TZ$|OMP_|KMP_|GOMP_|MKL_|OPENBLAS_|BLIS_|NUMEXPR_|NPY_|NUMPY_|TORCH|PYTORCH|ATEN_|CUDA|NVIDIA|NCCL_"
    r"|MALLOC_|GLIBC_|HYPOTHESIS_(?!STORAGE_)|CI$|__TOX_|TF_BUILD|bamboo|BUILDKITE|CIR|CODEBUILD|GITHUB_ACT|GITLAB_CI|HEROKU|TEAMCITY"
)


@dataclass
class _ClientCall:
    """A connection, through which one child is requested and its end is reported."""

    connection: socket.socket
    child: int = 0

    def send(self, **message: Any) -> None:
        with contextlib.suppress(OSError):  # the client has closed it
            self.connection.send(json.dumps(message).encode())


class Server:
    """Forks a child for each connection, until no more can come.

    Args:
        source: a socket that listens, or one through which each connection is passed.
    """

    def __init__(self, source: socket.socket) -> None:
        self.source = source
        self.selector = selectors.DefaultSelector()
        self._watch(source, self._accept)
        self.early = _early(dict(os.environ))
        # A fork would leave locks closed that another thread holds.
        self.able = len(os.listdir("/proc/self/task")) == 1

    def serve(self) -> forking.ChildRequest | None:
        """Answer requests; return in each child, with what it is to do, and in the server when all is over."""
        while self.selector.get_map():
            for key, _ in self.selector.select():
                request: forking.ChildRequest | None = key.data()
                if request is not None:
                    return request
        return None

    def _watch(self, file: Any, answer: Callable[[], forking.ChildRequest | None]) -> None:
        self.selector.register(file, selectors.EVENT_READ, answer)

    def _accept(self) -> None:
        connection = None
        if _listens(self.source):
            connection = self.source.accept()[0]
        else:
            _, files, _, _ = socket.recv_fds(self.source, 1, 1)
            connection = socket.socket(fileno=files[0]) if files else None
        if connection is None:  # the process that started the server has ended
            self.selector.unregister(self.source)
            return
        call = _ClientCall(connection)
        self._watch(connection, lambda: self._hear(call))

    def _hear(self, call: _ClientCall) -> forking.ChildRequest | None:
        if call.connection.fileno() < 0:  # the child has ended at the same moment
            return None
        files: list[int] = []
        data = b""
        with contextlib.suppress(OSError):
            data, files, _, _ = socket.recv_fds(call.connection, MESSAGE, 4)
        if not data or call.child:  # the client has ended; the child's number is not reused before it is reaped
            self.selector.unregister(call.connection)
            if call.child:
                with contextlib.suppress(OSError):
                    os.kill(call.child, signal.SIGKILL)
                    os.killpg(call.child, signal.SIGKILL)
            else:
                call.connection.close()
            return None
        request = forking.ChildRequest(**json.loads(data))
        if self._can(request):
            server = os.getpid()
            call.child = os.fork()
            if not call.child:
                forking.become(request, files, server)
                call.send(pid=os.getpid())  # from now on it can be ended with its group
                self._leave()
                return request
            ended = os.pidfd_open(call.child)
            self._watch(ended, lambda: self._reap(call, ended))
        else:
            call.send(refused=True)
        for file in files:
            os.close(file)
        return None

    def _can(self, request: forking.ChildRequest) -> bool:
        """Whether a forked child would be as one that is started anew."""
        known = request.arguments[0] in MODULES and forking.fits(request.environment)
        known = known and request.home == forking.home()  # the tests install mhsa into environments of their own
        return self.able and known and _early(request.environment) == self.early

    def _reap(self, call: _ClientCall, ended: int) -> None:
        self.selector.unregister(ended)
        os.close(ended)
        _, status = os.waitpid(call.child, 0)
        call.send(code=os.waitstatus_to_exitcode(status))
        with contextlib.suppress(KeyError):
            self.selector.unregister(call.connection)
        call.connection.close()

    def _leave(self) -> None:
        """Close all files of the server in a child, and let no object close them again, when others have their numbers."""
        for key in list(self.selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.detach()
        self.selector.close()
        for file in map(int, os.listdir("/proc/self/fd")):
            if file > 2:
                with contextlib.suppress(OSError):  # the list itself
                    os.close(file)


def _listens(source: socket.socket) -> bool:
    """Whether a server is shared: it has an address, at which others can connect."""
    return bool(source.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _early(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if _EARLY.match(name)}


def main() -> None:
    """Serve on the socket that is the standard input; a child then does its work."""
    end_with_parent()
    source = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    for name in (forking.__name__, __name__):
        sys.modules.pop(name)
    for name in _BEFOREHAND:
        importlib.import_module(name)
    _warm_up(shared=_listens(source))
    gc.collect()
    gc.freeze()  # a child that looks for garbage would copy all that it shares with the server
    request = Server(source).serve()
    if request is not None:
        forking.work(request)


def _warm_up(*, shared: bool) -> None:
    """Do once what each child would do: read the list of properties and import them.

    Of children of a shared server, many run properties of wrong subjects, for which Hypothesis looks for the smallest case;
    its first run of anything takes 0.15 s. A server of one run would pay for what a right subject never needs.
    """
    import hypothesis.configuration

    catalogue()
    importlib.import_module("mhsa.judge.property_modules").import_beforehand()
    if shared:
        _run_hypothesis()
    hypothesis.configuration.set_hypothesis_home_dir(None)  # a child's variables name one of its own


def _run_hypothesis() -> None:
    import hypothesis

    @hypothesis.settings(max_examples=10, database=None, deadline=None, derandomize=True, phases=[hypothesis.Phase.generate])
    @hypothesis.given(hypothesis.strategies.integers())
    def nothing(number: int) -> None:
        pass

    draws = importlib.import_module("mhsa.judge.drawing.draws")
    with draws.without_local_constants():  # as in every property
        nothing()
