"""Calls without a mask that all raise, though the mask has a default of None: then each call is given one."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from mhsa.records.errors import one_line
from mhsa.subject.adapter import Adapter, ModuleAdapter
from mhsa.subject.caller import Caller
from mhsa.subject.generic_inputs import generic_tensors


def is_required(adapter: Adapter) -> bool:
    """Whether the mask has no default."""
    return not isinstance(adapter, ModuleAdapter) or adapter.signature.mask_required


def error_without_a_mask(caller: Caller, module: nn.Module) -> str:
    """Return what every call without a mask raises, in one line; empty where one returns, or the mask has no default."""
    adapter = caller.adapter
    if is_required(adapter) or not caller.fills_mask:
        return ""
    said = ""
    for length in (None, 4, 1):  # generic lengths, then as many queries as keys
        query, key, value = (x if length is None else x[:, :1].repeat(1, length, 1) for x in generic_tensors(adapter))
        key, value = (query, query) if adapter.inputs == "x" else (key, key if adapter.inputs == "q,kv" else value)
        try:
            with torch.no_grad():
                replace(caller, fills_mask=False).items(module, query, key, value, None)
        except Exception as error:
            said = said or one_line(error)
        else:
            return ""
    return said
