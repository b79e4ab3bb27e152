"""Masks of other numbers of axes, where the source tells them apart: each is tried, and judged instead where it is wrong.

Code that takes a mask of two axes and one of three has a branch for each. The cases are given one form; what the other branch
does would stay unseen.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

from mhsa.introspect.readings.candidate_reading import Reading
from mhsa.introspect.readings.fit import SEEDS, Fit
from mhsa.introspect.readings.masks.own_code import own_code
from mhsa.introspect.readings.masks.polarity import MEANS, mask_reading
from mhsa.records.conventions.values import LENGTH_SHAPES, MaskMeaning, MaskShape
from mhsa.records.understood import Understood
from mhsa.source.written_code import nodes_of
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.docstrings.mask_shapes import axes_of, ends_in_one
from mhsa.subject.docstrings.passages import mask_parameter

_MEANINGS: tuple[MaskMeaning, ...] = ("allowed", "blocked", "additive")


def with_other_forms(read: Reading, fit: Fit) -> Reading:
    """Return the reading of a mask with what is known of its other forms; one that is taken and right in no reading instead.

    A form is one of all that have a number of axes with which the source compares that of the mask. What raises with every
    mask of so many axes is named as not judged. A form that is declared is the only one.
    """
    subject, shape = read.subject, read.subject.contract.mask_shape
    if shape is None or shape in LENGTH_SHAPES or subject.adapter.contract.mask_shape is not None:
        return read
    also: list[str] = []
    left: list[str] = []
    for axes in sorted(distinguished_axes(subject.adapter) - {axes_of(shape)}):
        if (exact := next((r for r in _readings(read, axes) if fit.with_mask(r.subject)), None)) is not None:
            other = exact.subject.contract
            also.append(str(other.mask_shape))
            if other.mask != subject.contract.mask:
                left.append(f"masks {other.mask_shape}: with one it {MEANS[other.mask or 'allowed']}")
            continue
        taken = [r for r in _readings(read, axes) if fit.is_taken(r.subject)]
        square = [(r, fit.with_square_mask(r.subject)) for r in _readings(read, axes)] if not taken else []
        if any(fits for _, fits in square):
            left.append(f"masks of {axes} axes, where there are as many queries as keys: else none is taken")
        elif wrong := taken or [r for r, fits in square if fits is False]:
            why = f"of {axes} axes it is right in no reading, and so is judged; {shape} is right"
            judged = wrong[0].subject
            judged = replace(judged, understood=(*judged.understood, Understood("mask", why, "fitted")))
            return replace(wrong[0], subject=judged, certain=read.certain, declaration=read.declaration)
        else:
            left.append(f"masks of {axes} axes, which the source tells from others: none that mhsa gives is taken")
    said = (Understood("mask", f"or {' or '.join(also)}; tried {len(SEEDS)} times", "fitted"),) if also else ()
    understood = (*subject.understood, *said)
    return replace(read, subject=replace(subject, understood=understood, not_judged=(*subject.not_judged, *left)))


def distinguished_axes(adapter: Adapter) -> set[int]:
    """Return the numbers of axes, from two to four, with which the source compares that of a mask."""
    name = mask_parameter(adapter)
    found: set[int] = set()
    for owner in own_code(adapter) if name else ():
        for node in nodes_of(owner):
            if isinstance(node, ast.Compare) and _counts_axes(node.left, name):
                compared = (n for c in node.comparators for n in ast.walk(c) if isinstance(n, ast.Constant))
                found |= {n.value for n in compared if isinstance(n.value, int)}
    return found & {2, 3, 4}


def _counts_axes(node: ast.expr, name: str) -> bool:
    """Whether an expression is the number of axes of what is called ``name``, or a mask: x.dim(), x.ndim, len(x.shape)."""
    inner: ast.expr | None = None
    if isinstance(node, ast.Attribute) and node.attr == "ndim":
        inner = node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("dim", "ndimension"):
        inner = node.func.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len" and node.args:
        shape = node.args[0].func if isinstance(node.args[0], ast.Call) else node.args[0]
        inner = shape.value if isinstance(shape, ast.Attribute) and shape.attr in ("shape", "size") else None
    words = "" if inner is None else ast.unparse(inner)
    return words == name or "mask" in words.lower()


def _readings(read: Reading, axes: int) -> Iterator[Reading]:
    """Yield the readings of a mask of so many axes: with the meaning and the numbers of the one that is read first."""
    subject = read.subject
    # [B, Tk, 1] fits where a mask of queries and keys is transposed by mistake, too: only where a docstring says so.
    unlikely = (*LENGTH_SHAPES, *(() if ends_in_one(subject.adapter) else ("[B, Tk, 1]",)))
    shapes: list[MaskShape] = [s for s in get_args(MaskShape) if axes_of(s) == axes and s not in unlikely]
    own = subject.contract.mask or "allowed"
    for meaning in (own, *(m for m in _MEANINGS if m != own)):
        for floating in (subject.caller.float_masks, not subject.caller.float_masks) if meaning != "additive" else (False,):
            for shape in shapes:
                yield mask_reading(subject, meaning, shape, floating, None, None)
