"""A class that cannot be judged, and is built of attentions that its file defines: the question names them.

So an induced set attention can be judged through the blocks that it calls, and a classifier through the attention in it. Where
nobody named the class, and it is built of one attention, that one is judged: how the class calls it is not, which is said.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

from torch import nn

from mhsa.introspect.choose_adapter import requested_adapter
from mhsa.introspect.choose_subject import computing
from mhsa.records.errors import Question, SubjectError
from mhsa.records.request import Request
from mhsa.subject.construction.parameters import takes_sizes
from mhsa.subject.generic_inputs import first_sizes


def or_its_parts(error: SubjectError, target: Any, request: Request) -> SubjectError:
    """Return the question that names the attentions that a class is built of; the error itself where there are none."""
    named = bool(request.contract) and not request.spec.endswith(".py")  # what is declared is about that class
    if isinstance(error, Question) or not inspect.isclass(target) or not issubclass(target, nn.Module) or named:
        return error
    try:
        names = _innermost(_built(target, request), target)
    except Exception:  # it cannot be built, which the error says
        return error
    means = [f"{request.spec.rpartition(':')[0] or request.spec}:{name}" for name in names]
    if not means or not request.spec:
        return error
    return Question(f"{error}. It is built of {' and '.join(names)}, judged by itself as {' or '.join(means)}", means=means)


def only_part(error: SubjectError, target: Any, request: Request) -> type[nn.Module] | None:
    """Return the one attention that a class is built of which cannot be judged, where a file was named and not the class."""
    if not isinstance(error, Question) or len(error.means) != 1 or not request.spec.endswith(".py"):
        return None
    part = getattr(sys.modules[target.__module__], error.means[0].rpartition(":")[2])
    return part if inspect.isclass(part) and issubclass(part, nn.Module) and part is not target else None


def _built(target: type[nn.Module], request: Request) -> nn.Module:
    adapter = requested_adapter(target, request)
    sizes = first_sizes(adapter)
    return adapter.build(*(adapter.sizes or (sizes.head, sizes.d_model)))


def _innermost(module: nn.Module, target: type[nn.Module]) -> list[str]:
    """Return the names of the classes of its parts that attend, can be built from sizes, and have no such part themselves."""
    place = sys.modules[target.__module__]
    own = {type(part) for part in module.modules()} - {target}
    there = {kind.__name__: kind for kind in own if getattr(place, kind.__name__, None) is kind and takes_sizes(kind)}
    attending = computing(there)
    inner = {
        type(part)
        for part in module.modules()
        if type(part) in attending.values() and not any(type(p) in attending.values() for p in part.modules() if p is not part)
    }
    return sorted(name for name, kind in attending.items() if kind in inner)
