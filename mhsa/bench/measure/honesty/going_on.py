"""Whether work goes on when a call has returned: in a thread, in a process, or on another stream of a GPU."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from mhsa.bench.measure.captured.own_tools import gpu_event, gpu_synchronize, now, sleep

_TRIES, _OFTEN = 3, 2  # calls, and in how many of them something must be seen
_IDLE = 0.004  # seconds in which nothing is asked of the process
_PATIENCE = 100  # times that, for what ends by itself
_SHARE = 0.05  # of that: what nobody works in has none at all
_GPU_SHARE = 0.2  # of a call's time that is beyond its stream, when that has ended
_GPU_LEAST = 100e-6  # seconds that it takes to learn that a GPU has nothing to do, with plenty to spare


def goes_on(call: Callable[[], Any], device: str) -> str:
    """Return in words what goes on when the call has returned; empty if nothing does. It has been called before."""
    if torch.device(device).type == "cuda":
        return _on_other_streams(call, device)
    if torch.get_num_threads() == 1 and not _falls_idle():  # a team of threads waits for the next call by spinning
        return "a thread or process goes on working while nothing is called"
    found = _seen(call)
    if len(found) >= _OFTEN:  # threads of numpy that a busy machine had put aside may have come back meanwhile
        sleep(_IDLE * _PATIENCE)
        found = _seen(call)
    return found[-1] if len(found) >= _OFTEN else ""


def _seen(call: Callable[[], Any]) -> list[str]:
    """Return what goes on after each of some calls."""
    found: list[str] = []
    for _ in range(_TRIES):
        threads, processes = set(threading.enumerate()), set(_children())
        kept = call()
        if new := [thread.name for thread in threading.enumerate() if thread not in threads]:
            found.append(f"a call leaves the thread {new[0]} running when it returns")
        elif set(_children()) - processes:
            found.append("a call leaves a process running when it returns")
        elif torch.get_num_threads() == 1 and not _is_idle():
            found.append("a thread or process goes on working when a call has returned")
        del kept
    return found


def _falls_idle() -> bool:
    """Whether nobody works before long: threads of numpy, which the oracle uses, spin for a while when they are through."""
    return any(_is_idle() for _ in range(_PATIENCE))


def _is_idle() -> bool:
    before = _worked()
    sleep(_IDLE)
    return _worked() - before <= _SHARE * _IDLE


def _on_other_streams(call: Callable[[], Any], device: str) -> str:
    beyond = 0
    for _ in range(_TRIES):
        gpu_synchronize(device)
        begin, ended = now(), gpu_event()
        kept = call()
        ended.record()
        ended.synchronize()
        middle = now()
        gpu_synchronize(device)
        left = now() - middle
        beyond += left > max(_GPU_LEAST, _GPU_SHARE * (middle - begin))
        del kept
    return "a call computes on another stream, which goes on when its own has ended" if beyond >= _OFTEN else ""


def _worked() -> float:
    """Seconds for which other threads of this process, and processes that it started, have had a processor; on Linux only."""
    own = str(threading.get_native_id())
    tasks = [task for task in _tasks("self") if task.name != own]
    tasks += [task for child in _children() for task in _tasks(child)]
    total = 0
    for task in tasks:
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += int((task / "schedstat").read_text().split()[0])
    return total * 1e-9


def _tasks(process: str) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from Path(f"/proc/{process}/task").iterdir()


def _children() -> list[str]:
    """Return the processes that were started here, but for those that mhsa runs subjects in."""
    found: list[str] = []
    for task in _tasks(str(os.getpid())):
        with contextlib.suppress(OSError):
            found += (task / "children").read_text().split()
    return [process for process in found if not _is_mhsas_own(process)]


def _is_mhsas_own(process: str) -> bool:
    with contextlib.suppress(OSError):
        return b"mhsa.run.fork_server" in Path(f"/proc/{process}/cmdline").read_bytes()
    return False
