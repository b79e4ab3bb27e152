"""Reading of an output with one row: the first token alone is a query, as a class token is; each token is put there in turn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.introspect.readings.candidate_reading import Reading
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.several_calls import SeveralCalls
from mhsa.subject.generic_inputs import generic_tensors
from mhsa.subject.subject import Subject


class EachTokenFirst(SeveralCalls):
    """A module that gives the row of the first token: called once for each token, which changes places with the first.

    The order of keys means nothing to attention, so these rows are the output of self-attention [B, T, d_model].
    """

    why = "put each token first"

    def __init__(self, base: ModuleAdapter) -> None:
        super().__init__(base)
        self.not_given = (*base.not_given, *([base.signature.mask] if base.signature.mask else []))
        self.signature = replace(base.signature, mask=None, want_weights=None, not_given=self.not_given)
        self.takes_mask = False

    def call(self, module: nn.Module, query: Tensor, *_: Any, bias: Tensor | None = None, **__: Any) -> Any:
        """Return the rows [B, T, d_model] of as many calls as there are tokens."""
        rows = []
        for place in range(query.size(1)):
            order = [place, *(other for other in range(query.size(1)) if other != place)]
            others = query[:, order]
            of_others = None if bias is None else bias[..., order, :][..., order]
            row = self.once(module, others, others, others, None, of_others)
            rows.append(row if row.dim() == 3 else row.unsqueeze(1))
        return torch.cat(rows, dim=1) if rows else query.new_zeros(query.shape)


def first_token(subject: Subject, module: nn.Module) -> Reading | None:
    """Return the reading of a self-attention whose output has one row; None where it has more, or a mask must be given."""
    adapter = subject.adapter
    if type(adapter) is not ModuleAdapter or adapter.inputs != "x" or subject.caller.fills_mask:
        return None
    x = generic_tensors(adapter)[0]
    try:
        with torch.no_grad():
            given = subject.caller(module, x, x, x, None)[0]
            if not isinstance(given, Tensor) or given.shape not in ((x.size(0), 1, x.size(2)), (x.size(0), x.size(2))):
                return None
            each = EachTokenFirst(adapter)
            caller = replace(subject.caller, adapter=each).locate(module, x, x, x)
    except Exception:  # the properties will meet it again and report it
        return None
    text = "one row, that of the first token as the only query; each token is put there in turn"
    return Reading(replace(subject, adapter=each, caller=caller), "output", text)
