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


def require_no_growth(module: nn.Module, before: set[str], request: Request, target: Any) -> None:
    """Raise Question if a call has given the module parameters that it did not have before."""
    made = sorted({path for path, _ in module.named_parameters()} - before)
    if not made:
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


def require_same_maps(adapter: Adapter, bind: Callable[[nn.Module, Sizes], Projections]) -> None:
    """Raise Question if a module of other sizes has not got the same four maps: no out projection for a single head, say."""
    if adapter.sizes is not None:
        return
    for sizes in _CORNERS:
        try:
            module = adapter.build(sizes.head, sizes.d_model)
        except Exception:  # the properties will raise it again and report it
            continue
        try:
            bind(module, sizes)
        except SubjectError as error:
            arguments = "arguments = { ... } in pyproject.toml with the number of heads and the width"
            raise Question(
                question_text(f"{error}. Have it judged in one size: {arguments}, or an adapter with sizes")
            ) from None
        except Exception:  # the same
            continue
