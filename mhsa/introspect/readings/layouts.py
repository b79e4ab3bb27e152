"""Readings of the layout: which axes are samples, time and features."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from mhsa.introspect.layers.same import same
from mhsa.introspect.readings.candidate_reading import Reading
from mhsa.records.conventions.values import FUNCTION_LAYOUTS, Layout
from mhsa.records.understood import Known
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.docstrings.passages import text_of
from mhsa.subject.generic_inputs import generic_tensors
from mhsa.subject.subject import Subject

TAKES: dict[Layout, str] = {
    "BTD": "takes tokens [B, T, d_model]",
    "TBD": "takes time first, [T, B, d_model]",
    "BDT": "takes channels first, [B, d_model, T]",
    "BCHW": "takes pictures [B, d_model, H, W], whose pixels are the tokens",
    "BD1T": "takes pixels of one row, [B, d_model, 1, T]",
    "BHWC": "takes pictures with their channels last, [B, H, W, d_model], whose pixels are the tokens",
    "BNTD": "takes samples in two axes, [B, N, T, d_model]",
    "BTND": "takes samples in two axes around the tokens, [B, T, N, d_model]",
    "TNBD": "takes tokens first and samples in two axes behind them, [T, N, B, d_model]",
    "BCDHW": "takes voxels [B, d_model, D, H, W], which are the tokens",
    "BDHWC": "takes voxels with their channels last, [B, D, H, W, d_model], which are the tokens",
    "BCHN": "takes pictures and attends within each column alone",
    "BCDNN": "takes voxels and attends along D alone, as within each pixel of a video",
    "BCNHN": "takes voxels and attends along H alone",
    "BCNNW": "takes voxels and attends along W alone",
    "BCNHW": "takes voxels and attends within each D alone, as within each frame of a video",
    "BCHW,BTD": "takes queries as pictures [B, d_model, H, W], whose pixels attend to tokens [B, T, d_model]",
    "BTD,BCHW": "takes queries as tokens [B, T, d_model], and keys as pictures [B, d_model, H, W], to whose pixels they attend",
    "BDT>BTD": "takes channels first, [B, d_model, T], and returns tokens [B, T, d_model]",
    "BHTD": "takes heads [B, H, T, d]",
    "BTHD": "takes heads after time, [B, T, H, d]",
    "(BH)TD": "takes samples and heads in one axis, [B*H, T, d]",
    "BHDT": "takes heads with their tokens last, [B, H, d, T]",
    "BDHT": "takes heads after their features, with their tokens last, [B, d, H, T]",
}
FOUND_BY_CALLING: tuple[Layout, ...] = (  # where tokens cannot be called
    "BCHW", "BDT", "BNTD", "BTND", "BCDHW", "BDHWC", "BCHW,BTD", "BTD,BCHW", "BDT>BTD",
)  # fmt: skip
# Of what else takes the same tensors: attention along some of their axes, which may be a mistake, and is asked about.
_ALONG_SOME_AXES: dict[Layout, tuple[Layout, ...]] = {
    "BNTD": ("BTND", "TNBD"),
    "BCHW": ("BCHN",),
    "BCDHW": ("BCDNN", "BCNHW", "BCNNW", "BCNHN"),
}
_CALLED_ALIKE: dict[Layout, tuple[Layout, ...]] = {"BHDT": ("BHDT", "BDHT")}  # what takes the one can be called with the other
_TIME_FIRST = re.compile(
    r"[\[(]\s*(T|L|S|seq\w*|time|(src|tgt|source|target)_?len\w*|length)\s*,\s*(B|N|bs|bsz|batch\w*)\s*,"
    r"|time x batch x channel",
    re.IGNORECASE,
)

_WIDTH = 3  # of a picture of two rows: no other factors of 6 are nearer to a square
_ONE_ROW = re.compile(r"[\[(]\s*(B|N|bs|bsz|batch\w*)\s*,\s*\w+\s*,\s*1\s*,\s*\w+\s*[\])]|\bBC1[ST]\b", re.IGNORECASE)


def layout_readings(subject: Subject, module: nn.Module) -> Iterator[Reading]:
    """Yield the layouts in which an implementation may be meant to be called, the likeliest first.

    A layout that is declared is the only one; one that was found because [B, T, D] cannot be called is taken.
    """
    contract, adapter = subject.contract, subject.adapter
    if adapter.contract.layout is not None:
        yield _reading(subject, adapter.contract.layout, "declared")
    elif contract.layout in FOUND_BY_CALLING:
        yield _reading(subject, contract.layout, "fitted")
        if contract.layout == "BCHW" and isinstance(adapter, ModuleAdapter):
            says_so = _ONE_ROW.search(text_of(adapter)) is not None
            if says_so or _rows_are_apart(subject, module):
                yield _reading(subject, "BD1T", "documented" if says_so else "fitted", certain=says_so)
        if contract.layout == "BNTD":
            yield _reading(subject, "BHWC", "fitted")
        for layout in _ALONG_SOME_AXES.get(contract.layout, ()):
            yield _reading(subject, layout, "fitted", certain=False)
    elif isinstance(adapter, ModuleAdapter):
        stated = _stated(adapter, module)
        if stated is not None:
            yield _reading(subject, "TBD", stated)
        yield _reading(subject, "BTD", "default")
        if stated is None:
            yield _reading(subject, "TBD", "fitted", certain=False)
    elif isinstance(adapter, FunctionAdapter):
        found = adapter.callable_in
        for layout in _CALLED_ALIKE.get(found, (found,)) if found else FUNCTION_LAYOUTS:
            yield _reading(subject, layout, "default" if layout == "BHTD" else "fitted")
    else:
        yield Reading(subject, "layout", "", "declared")


def _rows_are_apart(subject: Subject, module: nn.Module) -> bool:
    """Whether pictures of several rows raise, or have each row answered as if it were alone.

    Else it is a module of pictures, and wrong for all but those of one row: they do not show it.
    """
    tokens = generic_tensors(subject.adapter)
    made = {
        id(x): torch.randn(x.size(0), 2 * _WIDTH, x.size(2), dtype=x.dtype, generator=torch.Generator().manual_seed(n))
        for n, x in enumerate(tokens)
    }

    def answer(layout: Layout, pixels: slice) -> torch.Tensor:
        caller = replace(subject.caller, contract=replace(subject.contract, layout=layout))
        parts = {name: x[:, pixels].contiguous() for name, x in made.items()}
        with torch.no_grad():
            query, key, value = (parts[id(x)] for x in tokens)
            found: torch.Tensor = caller(module, query, key, value, None)[0]
        return found

    try:
        whole = answer("BCHW", slice(None))
    except Exception:
        return True
    try:
        alone = torch.cat([answer("BD1T", slice(n * _WIDTH, (n + 1) * _WIDTH)) for n in range(2)], dim=1)
        return same(whole, alone)
    except Exception:
        return False


def _reading(subject: Subject, layout: Layout, known: Known, *, certain: bool = True) -> Reading:
    contract = replace(subject.contract, layout=layout)
    caller = replace(subject.caller, contract=contract)
    adapter = subject.adapter
    if isinstance(adapter, FunctionAdapter):
        adapter = adapter.read_as(replace(adapter.contract, layout=layout))
        caller = replace(caller, adapter=adapter)
    fields = {"layout": layout}
    return Reading(
        replace(subject, contract=contract, caller=caller, adapter=adapter), "layout", TAKES[layout], known,
        certain=certain, declaration={} if certain else fields, pins=fields,
    )  # fmt: skip


def _stated(adapter: ModuleAdapter, module: nn.Module) -> Known | None:
    """Whether the code says that time comes first, and where."""
    if getattr(module, "batch_first", None) is False:
        return "named"
    return "documented" if _TIME_FIRST.search(text_of(adapter)) else None
