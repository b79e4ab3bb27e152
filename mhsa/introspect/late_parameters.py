"""Modules whose parameters are made late, or are missing in a size: a question, and no verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from mhsa.introspect.adapter_sketch import importing, question_text, wrapped
from mhsa.records.errors import Question, SubjectError
from mhsa.records.request import Request
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.parameter_layout import Sizes
from mhsa.subject.projection_views import Projections

# One head alone, of one feature and of several: what modules leave out, they leave out there.
_CORNERS = (Sizes(1, 1), Sizes(1, 5))


def made_anew(module: nn.Module, call: Callable[[], Any]) -> str:
    """Say which trained parameter is another one after each call; empty where none is, or where the call raises."""
    try:
        call()  # what is made for the lengths of a call is there from now on
        before = {path: p for path, p in module.named_parameters() if p.requires_grad}
        call()
    except Exception:  # which is reported elsewhere
        return ""
    made = [path for path, p in module.named_parameters() if path in before and before[path] is not p]
    return f"{made[0]} is made anew in each call, and the parameter before it is no longer registered" if made else ""


def require_no_growth(
    module: nn.Module, before: set[str], request: Request, target: Any, call: Callable[[], Any]
) -> None:  # fmt: skip
    """Raise Question if a call has given the module parameters that it did not have before; not if each makes them anew."""
    made = sorted({path for path, _ in module.named_parameters()} - before)
    if not made or made_anew(module, call):
        return
    listed = ", ".join(made[:4]) + (f" and {len(made) - 4} more" if len(made) > 4 else "")
    head = question_text(f"it makes parameters in its first call ({listed}), and mhsa fills them before")
    name = "Name a factory that calls it once: save this as my_attention.py next to its file, and run"
    lines = [head, *wrapped(f"{name} mhsa verify my_attention.py:make"), ""]
    imported, maker = importing(request.spec, target)
    code = [
        "import torch", *imported, "", "",
        "def make(head, d_model):",
        f"    module = {maker}(head, d_model)  # <- its own arguments",
        "    x = torch.zeros(1, 1, d_model)",
        "    module(x, x, x)  # <- its own arguments",
        "    return module",
    ]  # fmt: skip
    raise Question("\n".join([*lines, *code]))


def fewest_heads(adapter: Adapter, bind: Callable[[nn.Module, Sizes], Projections]) -> int:
    """Return the fewest heads of which a module has the same four maps: 2 where one head alone has no out projection.

    Raises:
        Question: two heads have not got them either.
    """
    if adapter.sizes is not None:
        return 1
    for sizes in _CORNERS:
        if _lacking(adapter, bind, sizes):
            lacking = [error for head in (2, 3) if (error := _lacking(adapter, bind, Sizes(head, sizes.d_model * head)))]
            if not lacking:
                return 2
            arguments = "arguments = { ... } in pyproject.toml with the number of heads and the width"
            raise Question(question_text(f"{lacking[0]}. Have it judged in one size: {arguments}, or an adapter with sizes"))
    return 1


def _lacking(adapter: Adapter, bind: Callable[[nn.Module, Sizes], Projections], sizes: Sizes) -> SubjectError | None:
    """Return what is said of a map that a module of these sizes has not got; None where it has all."""
    try:
        bind(adapter.build(sizes.head, sizes.d_model), sizes)
    except SubjectError as error:
        return error
    except Exception:  # the properties will raise it again and report it
        return None
    return None
