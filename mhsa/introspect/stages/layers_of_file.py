"""Classes of a file that are built of the attention that is judged: where they are layers, what they compute around it.

A layer is built and called once, and once more with masks, where it has two. How it calls its attention otherwise is not
judged, and that is said.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from mhsa.introspect.choose_adapter import requested_adapter
from mhsa.introspect.layers.layer_formula import has_attention, layer_formula
from mhsa.introspect.layers.watched_forward import watched_forward
from mhsa.introspect.layers.wrappers import wrappers_in
from mhsa.introspect.stages.built_and_called import build_and_call
from mhsa.introspect.stages.masks_of_a_layer import mistake_in_built, mistakes_of_models, mistakes_where_given
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
UNUSED = "nothing of what its attention gives is in it"


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
    given = {} if left_out else mistakes_where_given(kinds[0], _alone(request))
    found = {} if left_out else {name: _layer(name, kinds, within, request) for name in names if name not in given}
    models = {} if left_out else mistakes_of_models(kinds, {*given, *found}, _alone(request))
    built = {name: each.formula for name, each in found.items() if each.formula is not None}
    wrappers = {} if left_out else _wrappers(kinds[0])
    faults = {name: each.fault for name, each in found.items() if each.fault}
    faults |= {name: CHANGED for name, (_, changed) in wrappers.items() if changed}
    layers = built | {name: layer for name, (layer, _) in wrappers.items()}
    masks = given | models | {name: each.masks for name, each in found.items() if each.masks is not None}
    unknown = tuple(f"{name}, which is built of it" for name in names if name not in layers and name not in masks)
    named = tuple(
        f"{name}, but for {_judged(name in layers, name in masks)}"
        for name in dict.fromkeys((*names, *given, *models))
        if name in {*built, *masks}
    )
    subject = replace(subject, not_judged=(*subject.not_judged, *unknown, *named))
    if masks:
        wrong = next((f"{name}: {mistake}" for name, mistake in masks.items() if mistake), "")
        seen = (*subject.layers_with_masks, *masks)
        subject = replace(subject, layers_with_masks=seen, wrong_masks=subject.wrong_masks or wrong)
    if not layers:
        _require_a_layer(subject, unknown)
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


def _require_a_layer(subject: Subject, unknown: Sequence[str]) -> None:
    """Raise Question where a layer is declared, the attention has nothing around it, and what is built of it is unknown."""
    if subject.contract.layer is not None and subject.layer == ALONE and subject.wrong_layer and unknown:
        raise Question(
            f"layer = {subject.contract.layer!r} is declared, the attention has nothing around it, and what is built of it is "
            f"not understood as a layer: {', '.join(unknown)}. Name that class to have it judged, or remove the declaration"
        )


def _alone(request: Request) -> Request:
    """Return the request without what is declared of the attention, but for features of the formula that decide on sizes."""
    sizing = {name: value for name, value in request.contract.items() if name in ("rotary", "kv_heads")}
    return replace(request, arguments={}, contract=sizing, dtypes=DEFAULT_DTYPES)


def _judged(formula: bool, masks: bool) -> str:
    """Return what is judged of a layer of the file, in words."""
    words = ["its residuals and the places of its norms"] if formula else []
    return " and ".join([*words, *(["which attention is given which mask"] if masks else [])])


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


@dataclass(frozen=True)
class _Layer:
    """What is known of a class of the file, as a layer.

    Attributes:
        formula: what it computes around attentions of the target's class, None if it is unknown.
        fault: what is wrong whatever the formula: an input that is changed, an attention in the place of another.
        masks: which attention is given a wrong mask, None if it is unknown.
    """

    formula: Sum | None = None
    fault: str = ""
    masks: str | None = None


def _layer(name: str, kinds: Sequence[Any], within: str, request: Request) -> _Layer:
    """Return what is known of a class of a file around attentions of classes of that file."""
    kind = getattr(sys.modules.get(getattr(kinds[0], "__module__", "")), name, None)
    if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
        return _Layer()
    alone, found = _alone(request), _Layer()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a width that was guessed, say
            adapter = requested_adapter(kind, alone)
            whole = build_and_call(adapter, kind, alone, whole=True)
            attentions = _attentions(whole.module, kinds)
            found = _Layer(masks=mistake_in_built(whole, attentions))
            paths = [f"{path}{'.' if path and within else ''}{within}" for path in attentions]
            given = generic_tensors(whole.adapter)
            before = [x.clone() for x in given]
            with _calls_of(whole.module, paths) as calls:
                names = dict.fromkeys(paths, "attention")
                layer = layer_formula(whole.module, lambda: whole.output(*given), names, unused=True)
            whole.finite(whole.module, *given, None)
    except Exception:  # it is no layer that can be built and called so, which nobody has asked for
        return found
    if layer is None or guesses_a_part(whole.adapter):
        return found
    if not all(map(torch.equal, given, before)):
        return replace(found, formula=layer, fault=CHANGED)
    never, twice = ([path for path in paths if chosen(calls[path])] for chosen in (lambda n: not n, lambda n: n > 1))
    fault = f"it calls {twice[0]} {calls[twice[0]]} times, and {never[0]} never" if never and twice else ""
    return replace(found, formula=layer, fault=fault if has_attention(layer) else UNUSED)


@contextlib.contextmanager
def _calls_of(module: nn.Module, paths: Collection[str]) -> Iterator[Counter[str]]:
    """Count the calls of parts."""
    count: Counter[str] = Counter()

    def counting(path: str) -> Callable[..., None]:
        return lambda *_: count.update([path])

    with watched_forward((module.get_submodule(path), counting(path), lambda *_: None) for path in paths):
        yield count


def _attentions(module: nn.Module, kinds: Sequence[Any]) -> list[str]:
    """Return the paths of the parts of some classes, without parts of such parts."""
    classes = tuple(kind for kind in kinds if inspect.isclass(kind))
    found: list[str] = []
    for path, part in module.named_modules():
        within = any(path.startswith(f"{other}.") for other in found)
        if path and not within and isinstance(part, classes):
            found.append(path)
    return found
