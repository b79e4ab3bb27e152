"""What a layer computes around its attention, and what is wrong with that."""

from __future__ import annotations

from dataclasses import replace

from mhsa.introspect.surroundings.inner_attention import Surroundings
from mhsa.introspect.surroundings.one_attention import OneAttention
from mhsa.records.conventions.layer import ALONE, Sum, formulas_of, layer_of
from mhsa.records.conventions.usual_layers import is_usual, mistake_in
from mhsa.records.errors import Question, SubjectError
from mhsa.records.understood import Understood
from mhsa.subject.subject import Subject


def with_layer(subject: Subject, around: Surroundings | None) -> Subject:
    """Return the subject with the formula of its layer, where that is judged: it is not where all of it is to be left out.

    Args:
        subject: with what is declared.
        around: what is around its attention.

    Raises:
        Question: of a layer with several attentions, its formula is no usual one, and none is declared.
        SubjectError: a formula is declared, and what the layer computes is not understood.
    """
    declared = subject.contract.layer
    found = _layer_of(subject, around)
    if isinstance(subject.adapter, OneAttention) and subject.adapter.masks is not None:
        wrong = f"the layer is wrong: {subject.adapter.masks}" if subject.adapter.masks else ""
        subject = replace(subject, layers_with_masks=("the layer",), wrong_masks=wrong)
    if declared is None and (found is None or str(found) == ALONE or subject.contract.surroundings == "left-out"):
        return subject
    if found is None:
        raise SubjectError(
            f"{subject.name}: its contract says layer = {declared!r}, and what the layer makes of its attentions is not "
            "understood as sums of inputs, norms, attentions and feed-forwards; surroundings = 'left-out' judges the "
            "attention alone"
        )
    wrong = mistake_in(found) if declared is None else ""
    if declared is None and around is None and not wrong and not is_usual(found):
        raise Question(
            f"one attention is judged, and the layer computes {found}, which is no usual form. If that is not meant, it is "
            "wrong, which layer, with the formula that it must be, declares",
            {"layer": str(found)},
        )
    if declared is not None and found not in formulas_of(declared):
        wrong = "another formula is declared"
    required = f", but must compute {declared}" if declared is not None else ""
    said = f"the layer computes {found}{required}: {wrong}" if wrong else ""
    read = Understood("layer", f"the layer computes {found}", "fitted", {"layer": str(found)})
    more = (read,) if isinstance(subject.adapter, OneAttention) else ()  # of others, what is around them says it
    return replace(subject, layer=str(found), wrong_layer=said, understood=(*subject.understood, *more))


def _layer_of(subject: Subject, around: Surroundings | None) -> Sum | None:
    """Return what is known of what a layer computes; an attention with nothing around it is one, too."""
    if isinstance(subject.adapter, OneAttention):
        return subject.adapter.layer
    return layer_of(ALONE) if around is None else around.layer
