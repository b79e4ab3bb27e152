"""Classes of a file that are built of the attention that is judged: where they are layers, what they compute around it.

A layer is built and called once. How it calls its attention otherwise, with masks say, is not judged, and that is said.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from mhsa.introspect.choose_adapter import requested_adapter
from mhsa.introspect.layers.layer_formula import layer_formula
from mhsa.introspect.layers.wrappers import wrappers_in
from mhsa.introspect.stages.built_and_called import build_and_call
from mhsa.introspect.surroundings.inner_attention import InnerAttention
from mhsa.introspect.surroundings.leave_out import guesses_a_part
from mhsa.records.conventions.layer import ALONE, BETWEEN, Sum, as_text, formulas_of
from mhsa.records.conventions.usual_layers import is_usual, mistake_in
from mhsa.records.defaults import DEFAULT_DTYPES
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.records.understood import Understood
from mhsa.subject.generic_inputs import generic_tensors
from mhsa.subject.subject import Subject

CHANGED = "it changes its input in place"


def with_layers_of_file(subject: Subject, kinds: Sequence[Any], names: Sequence[str], request: Request) -> Subject:
    """Return the subject with what is known of the classes of its file that are built of it.

    Args:
        subject: the attention, as it is judged.
        kinds: its class, and others of its file that are judged apart.
        names: of those classes.
        request: for the attention.

    Raises:
        Question: one of them computes what is no usual form, and no contract says that it is meant.
    """
    declared = subject.contract.layer
    within = subject.adapter.around.attention if isinstance(subject.adapter, InnerAttention) else ""
    own = subject.layer not in ("", ALONE)  # what is declared is about the subject itself
    left_out = request.contract.get("surroundings") == "left-out"
    found = {} if left_out else {name: _layer(name, kinds, within, request) for name in names}
    built = {name: layer for name, (layer, _) in found.items() if layer is not None}
    wrappers = {} if left_out else _wrappers(kinds[0])
    faults = {name: fault for name, (_, fault) in found.items() if fault}
    faults |= {name: CHANGED for name, (_, changed) in wrappers.items() if changed}
    layers = built | {name: layer for name, (layer, _) in wrappers.items()}
    unknown = tuple(f"{name}, which is built of it" for name in names if name not in layers)
    named = tuple(f"{name}, but for its residuals and the places of its norms" for name in layers if name in found)
    subject = replace(subject, not_judged=(*subject.not_judged, *unknown, *named))
    if not layers:
        return subject
    stated = [str(each) for each in formulas_of(declared)] if declared is not None and not own else []
    meant = [name for name, layer in layers.items() if str(layer) in stated]
    wrong = ""
    for name, layer in layers.items():
        mistake = faults.get(name, "")
        if not mistake and name not in meant:
            mistake = mistake_in(layer)
            if stated and (not meant or len(stated) > 1):
                mistake = f"it must compute {declared}"
            elif not mistake and not own and not is_usual(layer):
                raise _unusual(name, layer, [*stated, str(layer)], built=name in found)
        wrong = wrong or (f"{name} computes {layer}: {mistake}" if mistake else "")
    said = [Understood("layer", f"{name} computes {layer}", "fitted") for name, layer in layers.items()]
    if own:  # the contract's field is about that one
        return replace(subject, wrong_layer=subject.wrong_layer or wrong, understood=(*subject.understood, *said))
    every = declared if meant and declared is not None else as_text(layers.values())
    said[0] = replace(said[0], declaration={"layer": every})
    return replace(subject, layer=every, wrong_layer=wrong, understood=(*subject.understood, *said))


def _unusual(name: str, layer: Sum, stated: Sequence[str], *, built: bool) -> Question:
    which = f"{name}, which is built of it," if built else name
    return Question(
        f"the attention is judged alone, and {which} computes {layer}, which is no usual form. "
        'If that is not meant, it is wrong, which layer = "x + attention(norm(x))", or what it must be, declares',
        {"layer": BETWEEN.join(stated)},
    )


def _wrappers(target: Any) -> dict[str, tuple[Sum, bool]]:
    owner = sys.modules.get(getattr(target, "__module__", ""))
    return {} if owner is None or not inspect.isclass(target) else wrappers_in(owner)


def _layer(name: str, kinds: Sequence[Any], within: str, request: Request) -> tuple[Sum | None, str]:
    """Return what a class of a file computes around attentions of classes of that file, None if it is unknown.

    With it comes what is wrong whatever the formula: an input that is changed, an attention in the place of another.
    """
    kind = getattr(sys.modules.get(getattr(kinds[0], "__module__", "")), name, None)
    if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
        return None, ""
    alone = replace(request, arguments={}, contract={}, dtypes=DEFAULT_DTYPES)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a width that was guessed, say
            adapter = requested_adapter(kind, alone)
            whole = build_and_call(adapter, kind, alone, whole=True)
            paths = [f"{path}{'.' if path and within else ''}{within}" for path in _attentions(whole.module, kinds)]
            given = generic_tensors(whole.adapter)
            before = [x.clone() for x in given]
            with _calls_of(whole.module, paths) as calls:
                layer = layer_formula(whole.module, lambda: whole.output(*given), dict.fromkeys(paths, "attention"))
            whole.finite(whole.module, *given, None)
    except Exception:  # it is no layer that can be built and called so, which nobody has asked for
        return None, ""
    if layer is None or guesses_a_part(whole.adapter):
        return None, ""
    if not all(map(torch.equal, given, before)):
        return layer, CHANGED
    never, twice = ([path for path in paths if chosen(calls[path])] for chosen in (lambda n: not n, lambda n: n > 1))
    return layer, f"it calls {twice[0]} {calls[twice[0]]} times, and {never[0]} never" if never and twice else ""


@contextlib.contextmanager
def _calls_of(module: nn.Module, paths: Collection[str]) -> Iterator[Counter[str]]:
    """Count the calls of parts."""
    count: Counter[str] = Counter()

    def hook(path: str) -> Callable[..., None]:
        return lambda *_: count.update([path])

    handles = [module.get_submodule(path).register_forward_hook(hook(path)) for path in paths]
    try:
        yield count
    finally:
        for handle in handles:
            handle.remove()


def _attentions(module: nn.Module, kinds: Sequence[Any]) -> list[str]:
    """Return the paths of the parts of some classes, without parts of such parts."""
    classes = tuple(kind for kind in kinds if inspect.isclass(kind))
    found: list[str] = []
    for path, part in module.named_modules():
        within = any(path.startswith(f"{other}.") for other in found)
        if path and not within and isinstance(part, classes):
            found.append(path)
    return found
