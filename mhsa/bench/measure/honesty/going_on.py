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

_TRIES = 3
_IDLE = 0.004  # seconds in which nothing is asked of the process
_SHARE = 0.05  # of that: what nobody works in has none at all
_GPU_SHARE = 0.2  # of a call's time that is beyond its stream, when that has ended
_GPU_LEAST = 100e-6  # seconds that it takes to learn that a GPU has nothing to do, with plenty to spare


def goes_on(call: Callable[[], Any], device: str) -> str:
    """Return in words what goes on when the call has returned; empty if nothing does. It has been called before."""
    if torch.device(device).type == "cuda":
        return _on_other_streams(call, device)
    found: list[str] = []
    for _ in range(_TRIES):
        threads, processes = set(threading.enumerate()), set(_children())
        kept = call()
        if new := [thread.name for thread in threading.enumerate() if thread not in threads]:
            found.append(f"a call leaves the thread {new[0]} running when it returns")
        elif set(_children()) - processes:
            found.append("a call leaves a process running when it returns")
        elif torch.get_num_threads() == 1:  # a team of threads waits for the next call by spinning
            before = _worked()
            sleep(_IDLE)
            if _worked() - before > _SHARE * _IDLE:
                found.append("a thread or process goes on working while nothing is called")
        del kept
    return found[-1] if len(found) >= 2 else ""


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
    return "a call computes on another stream, which goes on when its own has ended" if beyond >= 2 else ""


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
    found: list[str] = []
    for task in _tasks(str(os.getpid())):
        with contextlib.suppress(OSError):
            found += (task / "children").read_text().split()
    return found
