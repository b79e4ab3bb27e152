"""Readings of a mask: its polarity (which of the two True means, or whether it is added), its shape, its numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

from mhsa.introspect.readings.candidate_reading import Reading
from mhsa.introspect.readings.fit import Fit
from mhsa.introspect.readings.masks.stated_polarity import PADDING_OF_KEYS, Stated
from mhsa.records.conventions.values import LENGTH_SHAPES, MaskMeaning, MaskShape
from mhsa.records.understood import Known
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.docstrings.mask_shapes import axes_of, ends_in_one, is_of_samples, is_queries_by_keys, stated_axes
from mhsa.subject.docstrings.passages import mask_parameter
from mhsa.subject.subject import Subject

MEANS: dict[MaskMeaning, str] = {
    "allowed": "attends where the mask is True",
    "blocked": "hides what the mask marks with True",
    "additive": "adds the mask to the scores, 0 where attention is allowed and -inf where not",
    "lengths": "attends to the first keys of each sample, as many as it is given",
}
_MATRIX = re.compile(r"adj|attn_mask|att_mask|causal", re.IGNORECASE)  # names of masks of queries and keys
# Named so, a mask is known to have no axis for the samples, as torch's attn_mask; other masks are expected to have one.
_WITHOUT_SAMPLES = re.compile(r"attn_mask|att_mask|causal|look_?ahead|future|tril|triangular|subsequent|slf_attn")


def mask_readings(subject: Subject, stated: Stated | None, declared: MaskMeaning | None) -> Iterator[Reading]:
    """Yield the readings of the mask, the likeliest first.

    Args:
        subject: with the form of the mask that names and calls suggest in its contract.
        stated: the meaning that the code states.
        declared: the meaning that its user declared; then there is no other.
    """
    likely: MaskMeaning = declared or (stated.meaning if stated else "allowed")
    usual: tuple[MaskMeaning, ...] = ("allowed", "blocked", "additive")
    others = () if declared or (stated and stated.twice) else tuple(m for m in usual if m != likely)
    shape, axes = subject.contract.mask_shape, stated_axes(subject.adapter)
    if shape is not None and axes in (None, axes_of(shape)) and (shape in LENGTH_SHAPES) == (likely == "lengths"):
        yield mask_reading(subject, likely, shape, subject.caller.float_masks, stated, declared)
    for meaning in (likely, *others):
        shapes = [s for s in get_args(MaskShape) if (s in LENGTH_SHAPES) == (meaning == "lengths")]
        # Torch's own attention takes a padding of keys with the axes of a whole mask, too, where no gradient is asked for.
        padding = PADDING_OF_KEYS.search(mask_parameter(subject.adapter)) is not None
        shapes = sorted(shapes, key=lambda s: (axes not in (None, axes_of(s)), padding and s != "[B, Tk]"))
        for fixed in _shapes(subject, shapes):
            for floating in (False,) if meaning == "additive" else (False, True):
                yield mask_reading(subject, meaning, fixed, floating, stated, declared)
            if meaning == "additive":
                yield mask_reading(subject, meaning, fixed, False, stated, declared, finite=True)


def with_lengths_of_samples(read: Reading, fit: Fit, *, asked: bool) -> Reading:
    """Return the reading of lengths [B, Tq]; that of [B] where these are taken as well, and are not what they must be.

    Code that takes both forms is judged in the one that it gets wrong: a length for each sample is the usual one. A form that
    is declared (not ``asked``) is the only one.
    """
    subject = read.subject
    if subject.contract.mask_shape != "[B, Tq]" or not asked:
        return read
    usual = mask_reading(subject, "lengths", "[B]", subject.caller.float_masks, None, None)
    if not fit.is_taken(usual.subject):
        return read
    if fit.with_mask(usual.subject):
        return replace(read, text=f"{read.text}, or [B] for all queries of a sample")
    return replace(usual, known=read.known, certain=read.certain, declaration=read.declaration)


def of_keys_alone(read: Reading, fit: Fit) -> Reading | None:
    """Return the reading; that of a mask [B, Tk, 1] is a question where masks [B, Tq, Tk] are taken, too: it may be transposed.

    None where its name or a docstring says that it is a matrix, and where a docstring says that it is one for each sample and
    it is not. A docstring or a declaration may say that the last axis has size 1.
    """
    adapter = read.subject.adapter
    if read.subject.contract.mask_shape == "[Tq, Tk]" and adapter.contract.mask_shape is None and is_of_samples(adapter):
        return None  # it is one for each head where there are as many samples as heads, and raises elsewhere
    open_shape = read.subject.contract.mask_shape == "[B, Tk, 1]" and adapter.contract.mask_shape is None
    if not open_shape or ends_in_one(adapter) or not fit.is_taken_transposed(read.subject):
        return read
    if _MATRIX.search(mask_parameter(adapter)) or stated_axes(adapter) == 3:
        return None
    text = f"{read.text}, where a mask [B, Tq, Tk] is taken, too, and transposed"
    return replace(read, text=text, certain=False, declaration={**read.declaration, "mask_shape": "[B, Tk, 1]"})


def _shapes(subject: Subject, shapes: list[MaskShape]) -> list[MaskShape]:
    """Return the shapes to try: the declared one alone."""
    declared = subject.adapter.contract.mask_shape
    return shapes if declared is None else [s for s in shapes if s == declared]


def mask_reading(
    subject: Subject,
    meaning: MaskMeaning,
    shape: MaskShape,
    floating: bool,
    stated: Stated | None,
    declared: MaskMeaning | None,
    finite: bool = False,
) -> Reading:
    """Return one reading of the mask; certain unless it contradicts what is stated, or the usual meaning where nothing is."""
    contract = replace(subject.contract, mask=meaning, mask_shape=shape)
    caller = replace(subject.caller, contract=contract, float_masks=floating, finite_masks=finite)
    said = declared or subject.adapter.contract.mask_shape
    known: Known = "declared" if said else stated.known if stated and stated.meaning == meaning else "fitted"
    as_said = known != "fitted" or (meaning == "allowed" and not (stated and stated.meaning == "blocked"))
    missing: dict[str, str] = {} if as_said else {"mask": meaning}
    if shape == "[Tq, Tk]" and subject.adapter.contract.mask_shape is None and not _without_samples(subject):
        missing["mask_shape"] = shape
    axes = stated_axes(subject.adapter)
    otherwise = meaning != "lengths" and axes not in (None, axes_of(shape)) and subject.adapter.contract.mask_shape is None
    if otherwise:
        missing["mask_shape"] = shape
    kind = ", as floating 0 and 1" if floating and meaning in ("allowed", "blocked") else ""
    text = f"{MEANS[meaning]}{kind}, {shape}"
    if otherwise:
        text += f", where its docstring says {axes} {'axis' if axes == 1 else 'axes'}"
    elif "mask_shape" in missing:
        text += ", the same for every sample"
    adapter = subject.adapter
    if isinstance(adapter, FunctionAdapter):
        adapter = adapter.read_as(contract, float_masks=floating, finite_masks=finite)
        caller = replace(caller, adapter=adapter)
    return Reading(
        replace(subject, contract=contract, caller=caller, adapter=adapter), "mask", text, known,
        certain=not missing, declaration=missing, pins={"mask": meaning, "mask_shape": shape},
    )  # fmt: skip


def _without_samples(subject: Subject) -> bool:
    """Whether a name or a docstring says that the mask has no axis for the samples."""
    return bool(_WITHOUT_SAMPLES.search(mask_parameter(subject.adapter))) or is_queries_by_keys(subject.adapter)
