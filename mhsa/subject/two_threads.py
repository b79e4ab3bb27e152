"""Two calls at once, without leaving it to chance: one stops between two of its operations while the other runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from torch.overrides import TorchFunctionMode

# Seconds that a stopped call waits for the other: where a lock keeps the other out, it has to go on first.
_PATIENCE = 1.0


class _Stop(TorchFunctionMode):
    """Counts torch's operations on this thread, and stops before one of them."""

    def __init__(self, at: int | None, reached: threading.Event, go_on: threading.Event) -> None:
        super().__init__()
        self.at, self.reached, self.go_on = at, reached, go_on
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.count == self.at:
            self.reached.set()
            self.go_on.wait(_PATIENCE)
        self.count += 1
        return func(*args, **(kwargs or {}))


def operations(call: Callable[[], Any]) -> int:
    """Return how many operations of torch's interface a call consists of."""
    with _Stop(None, threading.Event(), threading.Event()) as counting:
        call()
    return int(counting.count)


def interleave(stopped: Callable[[], Any], whole: Callable[[], Any], at: int) -> tuple[Any, Any]:
    """Run ``whole`` while ``stopped``, on a thread of its own, is before its operation number ``at``.

    Returns:
        What the two returned; where one raised, its exception in place of a result.
    """
    reached, go_on = threading.Event(), threading.Event()
    results: list[Any] = [None, None]

    def attempt(number: int, call: Callable[[], Any]) -> None:
        try:
            results[number] = call()
        except Exception as error:
            results[number] = error

    def work() -> None:
        with _Stop(at, reached, go_on):
            attempt(0, stopped)
        reached.set()  # it may have ended without getting there

    thread = threading.Thread(target=work)
    thread.start()
    reached.wait()
    other = threading.Thread(target=attempt, args=(1, whole))
    other.start()
    other.join(_PATIENCE)
    go_on.set()
    thread.join()
    other.join()
    return results[0], results[1]
