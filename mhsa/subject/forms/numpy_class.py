"""Classes that compute with NumPy: a module that holds their arrays as parameters, and calls them with arrays."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from mhsa.records.errors import SubjectError
from mhsa.records.names import DROPOUT, is_called
from mhsa.source.written_code import tree_of
from mhsa.subject.forms.kept_arrays import Place, places_of, twins_of, unreached, without_buffers
from mhsa.subject.returned import listed

NO_GRADIENTS = "gradients, which NumPy has not"
_STEP = 2.0**-10  # of a difference quotient: that something depends on a number shows in float32, too
_TRAINS = re.compile("^(backward|backprop|zero_?grad|step|update)|gradient", re.IGNORECASE)  # names of methods
_differentiated: ContextVar[bool] = ContextVar("mhsa_differentiated", default=False)


class OfNumpy(nn.Module):
    """An object of such a class; a class of its own is made for each of them.

    Attributes:
        computes_with_numpy: whether it has no gradients.
        written: the class.
        method: the name of what is called.
        dropouts: rates of its constructor, which are 0: no mode of it says whether it drops.
        trains: methods of a backward pass or a step of its own.
        not_judged: what no property tries, in words.
    """

    computes_with_numpy: ClassVar[bool] = True
    written: ClassVar[type[Any]]
    method: ClassVar[str]
    dropouts: ClassVar[tuple[str, ...]]
    trains: ClassVar[tuple[str, ...]]
    not_judged: ClassVar[tuple[str, ...]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self._object = self.written(*args, **{**kwargs, **dict.fromkeys(self.dropouts, 0.0)})
        places = self._places()
        if not places:
            raise SubjectError(
                f"an object of {type(self).__name__} has no arrays that mhsa finds, in attributes, lists, tuples or dicts"
            )
        if other := unreached(self._object, places):
            raise SubjectError(
                f"an object of {type(self).__name__} keeps {other} of its arrays in no attribute, list, tuple or dict, "
                "where mhsa would put its own"
            )
        places = without_buffers(places) if self.trains else places
        self._twins = twins_of(places)
        places = [place for place in places if place.path in self._twins]
        self._names = [place.path for place in places]  # what it keeps of a call later is no parameter
        for place in places:
            owner, _, name = place.path.rpartition(".")
            holder: nn.Module = self
            for piece in owner.split(".") if owner else ():
                if piece not in holder._modules:
                    holder.add_module(piece, nn.Module())
                holder = holder._modules[piece]  # type: ignore[assignment]
            holder.register_parameter(name, nn.Parameter(torch.as_tensor(place.array, dtype=torch.get_default_dtype())))

    def answer(self, **given: Any) -> Any:
        """Call the object with arrays, its own being those of the parameters; what it returns are tensors."""
        parameters = dict(self.named_parameters(remove_duplicate=False))
        names = [name for name in self._names if name in parameters]
        values = [parameters[name] for name in names]
        if _differentiated.get():
            quotients: Any = _Quotients
            return quotients.apply(functools.partial(self._called, names, given), *values)
        return self._called(names, given, *(p.detach() for p in values))

    def _places(self) -> list[Place]:
        return places_of(self._object, self.written.__module__)

    def _called(self, names: list[str], given: dict[str, Any], *values: Tensor) -> Any:
        places = {place.path: place for place in self._places()}
        for name, x in zip(names, values, strict=True):
            array = _as_array(x)
            for path in (name, *self._twins[name]):
                places[path].put(array)
        arrays = {n: _as_array(x) if isinstance(x, Tensor) else x for n, x in given.items()}
        floating = [x for x in given.values() if isinstance(x, Tensor) and x.is_floating_point()]
        return _as_tensors(getattr(self._object, self.method)(**arrays), floating[0] if floating else values[0])


class _Quotients(torch.autograd.Function):
    """Difference quotients in the place of gradients: which number depends on which is all that is asked of them."""

    @staticmethod
    def forward(ctx: Any, call: Callable[..., Any], *values: Tensor) -> Any:
        ctx.call, ctx.values, ctx.quotients = call, [x.detach().clone() for x in values], []
        (first, *_) = listed(call(*ctx.values))
        ctx.first = first
        return first.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        # Each entry of the parameters is a call, so that they are kept for a second backward pass.
        ctx.quotients = ctx.quotients or [_quotients(ctx.call, ctx.first, ctx.values, x) for x in ctx.values]
        return (None, *((q * gradient).flatten(1).sum(1).view(x.shape) for q, x in zip(ctx.quotients, ctx.values, strict=True)))


def _quotients(call: Callable[..., Any], first: Tensor, values: list[Tensor], of: Tensor) -> Tensor:
    """Return by how much the output moves with each entry of one of ``values``: [entries, *output]."""
    columns = torch.zeros(of.numel(), *first.shape, dtype=first.dtype)
    for place in range(of.numel()):
        kept = of.view(-1)[place].clone()
        of.view(-1)[place] += _STEP
        (moved, *_) = listed(call(*(x.clone() for x in values)))  # it may write into its own
        columns[place] = (moved - first) / _STEP
        of.view(-1)[place] = kept
    return columns


@contextmanager
def differentiated() -> Iterator[None]:
    """Have modules of NumPy answer with difference quotients for gradients."""
    token = _differentiated.set(True)
    try:
        yield
    finally:
        _differentiated.reset(token)


def of_numpy(kind: Any) -> type[OfNumpy] | None:
    """Return the class of modules for a class whose file uses NumPy; None for anything else."""
    if not inspect.isclass(kind) or issubclass(kind, nn.Module):
        return None
    method = next((name for name in ("forward", "__call__") if inspect.isfunction(getattr(kind, name, None))), "")
    if not method or not uses_numpy(kind):
        return None
    written = getattr(kind, method)

    def forward(self: OfNumpy, **given: Any) -> Any:
        return self.answer(**given)

    forward.__wrapped__ = written  # type: ignore[attr-defined]
    forward.__signature__ = inspect.signature(written)  # type: ignore[attr-defined]
    signature = inspect.signature(kind)
    dropouts = tuple(n for n in signature.parameters if "drop" in n.lower() or is_called(n, DROPOUT))
    methods = {n for owner in inspect.getmro(kind) for n, x in vars(owner).items() if inspect.isfunction(x)}
    trains = tuple(sorted(n for n in methods if _TRAINS.search(n)))
    members = {
        "__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__, "written": kind,
        "method": method, "forward": forward, "dropouts": dropouts, "trains": trains,
        "not_judged": (
            NO_GRADIENTS, *(f"method {n}" for n in trains), *(f"constructor argument {n}" for n in dropouts)
        ),
    }  # fmt: skip
    made: type[OfNumpy] = type(kind.__name__, (OfNumpy,), members)
    kept = [p for n, p in signature.parameters.items() if n not in dropouts]
    made.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    return made


def with_tensors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of arrays as one of tensors."""

    @functools.wraps(function)
    def called(*given: Any, **named: Any) -> Any:
        tensors = [x for x in (*given, *named.values()) if isinstance(x, Tensor) and x.is_floating_point()]
        arrays = [_as_array(x) if isinstance(x, Tensor) else x for x in given]
        of_names = {n: _as_array(x) if isinstance(x, Tensor) else x for n, x in named.items()}
        return _as_tensors(function(*arrays, **of_names), tensors[0])

    called.computes_with_numpy = True  # type: ignore[attr-defined]
    return called


def uses_numpy(owner: Any) -> bool:
    """Whether the file of a class or function imports NumPy, and not PyTorch."""
    file = inspect.getmodule(owner)
    try:
        tree = tree_of(file) if file is not None else ast.Module([], [])
    except (OSError, TypeError, SyntaxError):
        return False
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    packages = {name.partition(".")[0] for name in names}
    return "numpy" in packages and "torch" not in packages


def _as_array(x: Tensor) -> Any:
    """Return a tensor's own numbers: what is written into them is seen. Those of bfloat16, which NumPy has not, in float32."""
    return (x.detach().float() if x.dtype == torch.bfloat16 else x.detach()).cpu().numpy()


def _as_tensors(result: Any, like: Tensor) -> Any:
    """Return arrays as tensors, those of tuples, lists and dictionaries as well.

    Numbers of NumPy that are no arrays are float64 and make all that they meet float64: what is floating is returned in the
    dtype and on the device of the input.
    """
    if isinstance(result, np.ndarray):
        x = torch.from_numpy(np.ascontiguousarray(result)).to(like.device)
        return x.to(like.dtype) if x.is_floating_point() else x
    if isinstance(result, (tuple, list)):
        return tuple(_as_tensors(x, like) for x in result)
    return {n: _as_tensors(x, like) for n, x in result.items()} if isinstance(result, dict) else result
