"""Classes of a file that are built of the attention that is judged: where they are layers, what they compute around it.

A layer is built and called once. How it calls its attention otherwise, with masks say, is not judged, and that is said.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from mhsa.introspect.choose_adapter import requested_adapter
from mhsa.introspect.stages.built_and_called import build_and_call
from mhsa.introspect.stages.layer_in_words import ALONE
from mhsa.introspect.surroundings.leave_out import inner_attention
from mhsa.records.conventions.layer import Sum, is_usual, mistake_in
from mhsa.records.defaults import DEFAULT_DTYPES
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.records.understood import Understood
from mhsa.subject.generic_inputs import generic_tensors
from mhsa.subject.subject import Subject

CHANGED = "it changes its input in place"


def with_layers_of_file(subject: Subject, target: Any, names: Sequence[str], request: Request) -> Subject:
    """Return the subject with what is known of the classes of its file that are built of it.

    Args:
        subject: the attention, as it is judged.
        target: its class.
        names: of those classes.
        request: for the attention.

    Raises:
        Question: one of them computes what is no usual form, and no contract says that it is meant.
    """
    declared = subject.contract.layer
    own = subject.layer not in ("", ALONE)  # what is declared is about the subject itself
    left_out = request.contract.get("surroundings") == "left-out"
    found = {name: (None, False) if own or left_out else _layer(name, target, request) for name in names}
    layers = {name: layer for name, (layer, _) in found.items() if layer is not None}
    unknown = tuple(f"{name}, which is built of it" for name in names if name not in layers)
    named = tuple(f"{name}, but for its residuals and the places of its norms" for name in layers)
    subject = replace(subject, not_judged=(*subject.not_judged, *unknown, *named))
    if not layers:
        return subject
    meant = declared in [str(layer) for layer in layers.values()]
    wrong = ""
    for name, layer in layers.items():
        if declared is None and not is_usual(layer) and not mistake_in(layer) and not found[name][1]:
            raise Question(
                f"the attention is judged alone, and {name}, which is built of it, computes {layer}, which is no usual form. "
                'If that is not meant, it is wrong, which layer = "x + attention(norm(x))", or what it must be, declares',
                {"layer": str(layer)},
            )
        mistake = "" if str(layer) == declared else mistake_in(layer)
        if found[name][1]:
            mistake = CHANGED
        elif declared is not None and not meant:
            mistake = f"it must compute {declared}"
        wrong = wrong or (f"{name} computes {layer}: {mistake}" if mistake else "")
    first = declared if declared is not None and meant else str(next(iter(layers.values())))
    said = [Understood("layer", f"{name} computes {layer}", "fitted") for name, layer in layers.items()]
    said[0] = replace(said[0], declaration={"layer": first})
    return replace(subject, layer=first, wrong_layer=wrong, understood=(*subject.understood, *said))


def _layer(name: str, target: Any, request: Request) -> tuple[Sum | None, bool]:
    """Return what a class of the target's file computes around one attention of the target's class, None if it is unknown.

    With it comes whether a call changes what it is given.
    """
    kind = getattr(sys.modules.get(getattr(target, "__module__", "")), name, None)
    if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
        return None, False
    alone = replace(request, arguments={}, contract={}, dtypes=DEFAULT_DTYPES)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a width that was guessed, say
            whole = build_and_call(requested_adapter(kind, alone), kind, alone)
            inner = inner_attention(whole.adapter, whole.module, lambda: whole.output(*generic_tensors(whole.adapter)))
            given = generic_tensors(whole.adapter)
            before = [x.clone() for x in given]
            whole.finite(whole.module, *given, None)
    except Exception:  # it is no layer that can be built and called so, which nobody has asked for
        return None, False
    if inner is None or not _is_within(whole.module, inner.around.attention, target):
        return None, False
    return inner.around.layer, not all(map(torch.equal, given, before))


def _is_within(module: nn.Module, path: str, target: Any) -> bool:
    """Whether a part is of this class, or within one that is."""
    names = path.split(".")
    parts = [module.get_submodule(".".join(names[:n])) for n in range(1, len(names) + 1)] if path else []
    return inspect.isclass(target) and any(isinstance(part, target) for part in parts)
