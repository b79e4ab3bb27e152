"""What one call costs, without the clock: operators, floating point operations, bytes and kernels."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from mhsa.bench.measure.dispatching import Dispatched
from mhsa.bench.measure.measurement import Counters

T = TypeVar("T")
_MARK = "mhsa: the counted call"  # its name in the profile
_STDERR = 2  # the descriptor that C++ code prints to


def count(call: Callable[[], object], device: str) -> Counters:
    """Return what one call costs.

    The call is made once as it is and then three times, always with the same random numbers and with no gradients from
    before: a backward pass makes them, and does not add to them. Gradients and the state of the random number generators
    are put back; what else the call changes is its own affair. Its result is kept until it has been counted.

    - Operators are those that reach torch's dispatcher below autograd, the backward pass' included. One made of others,
      such as ``linear``, is counted as those, in inference mode too, where torch does not take it apart. What a kernel
      calls inside itself is not seen, and what ``torch.compile`` has fused is one or none.
    - Flops are of matrix products and attention: a multiply-add is two, a causal mask halves nothing, and a fused
      backward pass of attention computes the scores again. None if there is an operator that is not torch's.
    - Bytes on a CPU are those that tensors ask of torch's allocator on this thread; what oneDNN, MKL or numpy take for
      themselves is not known. On a GPU they are what its caching allocator gives, which rounds up. A tensor that the
      call replaces, as one that a module keeps, counts as freed.
    - Kernels are those that ran on the GPU, copies and fills by the driver left out; None on a CPU.

    Args:
        call: what to measure; it may run a backward pass.
        device: where it runs, as torch writes it: "cpu" or "cuda:0". Bytes and kernels are None on other kinds.

    Returns:
        The counters; None for one whose instrument failed, and for instructions (see :mod:`mhsa.bench.measure.callgrind`).

    Raises:
        Exception: whatever the call raises when it runs as it is.
    """
    where = torch.device(device)
    with _as_found(where) as rewind:
        call()
        operators, flops = _tried(lambda: Dispatched().by(call), rewind) or (None, None)
        taken = kernels = None
        if where.type == "cpu":
            taken = _tried(lambda: _bytes_on_cpu(call, rewind), rewind)
        elif where.type == "cuda":
            taken = _tried(lambda: _bytes_on_cuda(call, where), rewind)
            kernels = _tried(lambda: _kernels(call, where), rewind)
        allocated, peak = taken or (None, None)
    return Counters(operators=operators, flops=flops, allocated=allocated, peak=peak, kernels=kernels)


@contextlib.contextmanager
def _as_found(device: torch.device) -> Iterator[Callable[[], None]]:
    """Give a function that takes gradients and random numbers back to the start; put them back at the end.

    The leaves of a call are not known from outside, so those of the whole process are set aside: the gradients
    themselves are not touched, they only hang nowhere meanwhile.
    """
    with torch._C.DisableTorchFunctionSubclass():  # a lazy parameter raises whatever is read from it
        leaves = [
            (tensor, tensor.grad)
            for tensor in gc.get_objects()
            if issubclass(type(tensor), torch.Tensor) and tensor.requires_grad and tensor.is_leaf
        ]
    state, gpu_state = torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def rewind() -> None:
        for leaf, _ in leaves:
            leaf.grad = None
        torch.set_rng_state(state)
        if gpu_state is not None:
            torch.cuda.set_rng_state(gpu_state, device)

    rewind()
    try:
        yield rewind
    finally:
        rewind()
        for leaf, grad in leaves:
            leaf.grad = grad


def _tried(instrument: Callable[[], T], rewind: Callable[[], None]) -> T | None:
    """Return what an instrument says of a call from the start; None if the instrument fails, for the call did not."""
    rewind()  # outside, since it frees the gradients of the call before
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the call gave its own the first time; the rest is the instrument's
        try:
            return instrument()
        except Exception:
            return None


def _bytes_on_cpu(call: Callable[[], object], rewind: Callable[[], None]) -> tuple[int, int]:
    """Bytes allocated, and the most at a time.

    The profiler knows the size only of a block that it saw being allocated, so it sees two calls: what the first one
    stored, as a module that keeps its weights does, the second replaces.
    """

    def twice() -> object:
        call()
        rewind()
        with record_function(_MARK):
            return call()

    events = _events(twice, ProfilerActivity.CPU)
    mark = next(event for event in events if event.name() == _MARK)
    begin, end = mark.start_ns(), mark.start_ns() + mark.duration_ns()
    allocated = now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        if event.name() == "[memory]" and begin <= event.start_ns() <= end:
            allocated += max(event.nbytes(), 0)
            now += event.nbytes()
            peak = max(peak, now)
    return allocated, peak


def _bytes_on_cuda(call: Callable[[], object], device: torch.device) -> tuple[int, int]:
    """Bytes allocated, and the most at a time."""
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_stats(device)
    kept = call()
    torch.cuda.synchronize(device)
    after = torch.cuda.memory_stats(device)
    del kept
    allocated = after["allocated_bytes.all.allocated"] - before["allocated_bytes.all.allocated"]
    return int(allocated), max(int(after["allocated_bytes.all.peak"] - before["allocated_bytes.all.current"]), 0)


def _kernels(call: Callable[[], object], device: torch.device) -> int | None:
    """Kernels that ran; None if the profiler saw nothing of the GPU, which it may not without the right to."""

    def to_the_end() -> object:
        kept = call()
        torch.cuda.synchronize(device)
        return kept

    torch.cuda.synchronize(device)
    events = _events(to_the_end, ProfilerActivity.CPU, ProfilerActivity.CUDA)
    there = [event for event in events if event.device_type().name == "CUDA"]
    return sum(map(_is_kernel, there)) if there else None


def _is_kernel(event: Any) -> bool:
    """Whether an event on the GPU is a kernel; older versions of torch say it by the name only."""
    if event.name() == "[memory]":  # a block of its memory is given or taken back
        return False
    if hasattr(event, "activity_type"):
        return bool(event.activity_type() == "kernel")
    return not event.is_user_annotation() and not event.name().startswith(("Memcpy", "Memset", "Context Sync", "Event Sync"))


def _events(call: Callable[[], object], *activities: ProfilerActivity) -> list[Any]:
    """Return a profile's events as they were recorded; its public ones do not say when inside an operator memory was freed."""
    collecting = gc.isenabled()
    gc.disable()  # else it would free something else's blocks, or the call's own at an unknown time
    try:
        with _nothing_printed(), profile(activities=activities, profile_memory=True) as profiled:
            kept = call()
        del kept
    finally:
        if collecting:
            gc.enable()
    results = profiled.profiler and profiled.profiler.kineto_results
    return list(results.events()) if results else []


@contextlib.contextmanager
def _nothing_printed() -> Iterator[None]:
    """Keep off the standard error stream what the profiler's C++ code prints there, which Python cannot ask it not to.

    What the call prints is lost too; it has printed it twice by then.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, AttributeError):  # there may be no such stream
            kept, nowhere = os.dup(_STDERR), os.open(os.devnull, os.O_WRONLY)
            for undo in (lambda: os.close(kept), lambda: os.dup2(kept, _STDERR), sys.stderr.flush):
                stack.callback(undo)
            sys.stderr.flush()
            os.dup2(nowhere, _STDERR)
            os.close(nowhere)
        yield
