"""Which line calls which operator: in the forward pass the line that runs, in the backward pass the one that made the node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mhsa.bench.compare.attribution.line_tracer import LineNode, LineTracer, OperatorTally
from mhsa.bench.measure.captured.own_tools import now
from mhsa.bench.measure.dispatching import in_parts


class OperatorTracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds every operator that torch dispatches to the tracer's line, and lets it pass.

    Args:
        lines: the tracer of the same call.
        wait: waits for what an operator has begun elsewhere: a GPU.
    """

    supports_higher_order_operators = True

    def __init__(self, lines: LineTracer, wait: Callable[[], object] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._lines, self._wait = lines, wait
        self._makers: dict[int, int] = {}  # by the address of memory, the id of the node that filled it last

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Say that what ``torch.compile`` has made may run in here."""
        return True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        made = in_parts(self, func, types, args, kwargs)
        if made is not NotImplemented:
            return made
        given = list(_tensors((*args, *kwargs.values())))
        form = ", ".join(map(_form, given))
        memory = set(map(_address, given))
        begin = now()
        result = func(*args, **kwargs)
        if self._wait:
            self._wait()
        took = now() - begin
        node, backward = self._where()
        tally = node.operators.setdefault((_name(func), backward), OperatorTally())
        tally.calls += 1
        tally.seconds += took  # a call that lost the processor is long, and that of another run is taken
        tally.inputs[form] = tally.inputs.get(form, 0) + 1
        tally.made_by |= {self._makers[place] for place in memory if place in self._makers}
        for tensor in _tensors((result,)):
            place = _address(tensor)
            if place not in memory:
                tally.bytes += tensor.untyped_storage().nbytes() if place else 0
                memory.add(place)
            self._makers[place] = id(node)
        return result

    def _where(self) -> tuple[LineNode, bool]:
        """Return the line that an operator belongs to, and whether its backward pass calls it."""
        node: Any = torch._C._current_autograd_node()
        if node is None:
            return self._lines.current, False
        if self._lines.current is not self._lines.root:
            return self._lines.current, True  # a backward pass that the subject has written itself
        return self._lines.maker(node._sequence_nr()) or self._lines.root, True


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)


def _form(tensor: Tensor) -> str:
    """Return dtype and sizes; the order of dimensions in memory, too, where it is not the usual one."""
    dtype = str(tensor.dtype).removeprefix("torch.")
    usual = tensor.layout != torch.strided or tensor.is_contiguous()
    return f"{dtype}{list(tensor.shape)}" + ("" if usual else f" with strides {list(tensor.stride())}")


def _address(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # a sparse tensor, or one without memory
        return 0


def _name(func: Any) -> str:
    schema = getattr(func, "_schema", None)
    return str(schema.name if schema is not None else func)


def cost_of_an_operator() -> float:
    """Return the seconds that a call from here takes longer than one that nothing watches."""
    one = torch.ones(1)
    took = []
    for _ in range(5):
        begin = now()
        for _ in range(100):
            one.detach()
        plain = now() - begin
        lines = LineTracer(lambda name: False)
        with OperatorTracer(lines):
            for _ in range(100):
                one.detach()
        (tally,) = lines.root.operators.values()
        took.append((tally.seconds - plain) / tally.calls)
    return max(0.0, min(took))
