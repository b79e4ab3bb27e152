"""What a layer computes around its attention, and what is wrong with that."""

from __future__ import annotations

from dataclasses import replace

from mhsa.introspect.surroundings.inner_attention import Surroundings
from mhsa.records.conventions.layer import layer_of
from mhsa.records.conventions.usual_layers import mistake_in
from mhsa.records.errors import SubjectError
from mhsa.subject.subject import Subject

ALONE = "attention(x)"


def with_layer(subject: Subject, around: Surroundings | None) -> Subject:
    """Return the subject with the formula of its layer, where that is judged: it is not where all of it is to be left out.

    Args:
        subject: with what is declared.
        around: what is around its attention.

    Raises:
        SubjectError: a formula is declared, and what the layer computes is not understood.
    """
    declared = subject.contract.layer
    if declared is None and (around is None or around.layer is None or subject.contract.surroundings == "left-out"):
        return subject
    found = layer_of(ALONE) if around is None else around.layer
    if found is None:
        raise SubjectError(
            f"{subject.name}: its contract says layer = {declared!r}, and what the layer makes of its attention is not "
            "understood as a sum of inputs, norms, the attention and one feed-forward; surroundings = 'left-out' judges the "
            "attention alone"
        )
    wrong = mistake_in(found) if declared is None else ""
    if declared is not None and str(found) != declared:
        wrong = "another formula is declared"
    required = f", but must compute {declared}" if declared is not None else ""
    said = f"the layer computes {found}{required}: {wrong}" if wrong else ""
    return replace(subject, layer=str(found), wrong_layer=said)
