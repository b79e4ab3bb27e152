"""What a forward is given that takes the angles of rotary positions from its caller, as the declared formula has them."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from mhsa.oracle.formula.fields import Rotary
from mhsa.records.names import CONTEXT, KEY, QUERY, SELF, VALUE, is_called
from mhsa.source.written_code import nodes_of
from mhsa.subject.forms.handed_on import given_in, name_of_call

# What models hand from layer to layer, in the form that goes with the name; [T, ...] or [B, T, ...], of the features that are
# rotated. Other forms are tried where that one cannot be called or does not fit.
PAIRS = {"position_embeddings", "position_embedding", "rotary_pos_emb", "rotary_emb", "rope", "rotary_embedding",
         "rotary_embeddings", "rotary_embs", "rotary_pos_embs", "rope_emb", "rope_embs", "rope_embeddings", "cos_sin",
         "rope_cos_sin", "rotary_position_embeddings", "rope_tables"}  # fmt: skip  # (cos, sin), each [B, T, width]
COMPLEX = {"freqs_cis", "freqs_complex", "complex_freqs", "freqs", "freq_cis", "rope_freqs", "rotary_freqs", "rope_cache"}
# cos + i sin [T, width / 2]
COSINES = {"cos", "rope_cos", "cos_cached", "rotary_cos", "cos_emb", "cosines", "cos_table"}  # [B, T, width]
SINES = {"sin", "rope_sin", "sin_cached", "rotary_sin", "sin_emb", "sines", "sin_table"}
REAL, IMAGINARY = {"freqs_cos", "freqs_real"}, {"freqs_sin", "freqs_imag"}  # of such factors, in two tables [T, width / 2]
PLACES = {"position_ids", "positions", "pos_ids", "input_pos"}  # [B, T], whole numbers
FIRST = {"start_pos", "start_position"}  # the place of the first token
TABLES = PAIRS | COMPLEX | REAL | IMAGINARY | COSINES | SINES
NAMES = TABLES | PLACES | FIRST
_NUMBER = re.compile(
    r"(^|_)(len|length|offset|start|size|x?pos|position|step|index|idx|mode|training)(_|$)|seq_?len", re.IGNORECASE
)
_ROTATES = re.compile(r"rotary|(^|_)rope|(^|_)rotat", re.IGNORECASE)

Kind = Literal["pair", "complex", "stacked", "angles"]
Axes = Literal["[B, T", "[T", "[1, T", "[1, T, 1", "[1, 1, T", "[T, 1", "[B, T, 1"]
_AXES: tuple[Axes, ...] = ("[T", "[B, T", "[1, T", "[1, T, 1", "[1, 1, T", "[T, 1", "[B, T, 1")
_KINDS: tuple[Kind, ...] = ("pair", "complex", "stacked", "angles")


@dataclass(frozen=True)
class Form:
    """How tables are laid out.

    Attributes:
        kind: cosines and sines, in one tuple or in two arguments; cos + i sin; cosines and sines in an axis at the end; angles.
        axes: those before the features.
        halved: whether there is one number for each pair of features, not for each feature.
    """

    kind: Kind
    axes: Axes
    halved: bool

    @property
    def words(self) -> str:
        """What is given, in words."""
        what = {"pair": "cosines and sines", "complex": "cos + i sin", "stacked": "cosines and sines", "angles": "angles"}
        end = ", 2]" if self.kind == "stacked" else "]"
        return f"{what[self.kind]} {self.axes}, {'width / 2' if self.halved else 'width'}{end}"

    def table(self, x: Tensor, batch: int) -> Tensor:
        """Return a table [T, n] with the axes of the form."""
        if self.axes in ("[B, T", "[B, T, 1"):
            x = x.expand(batch, *x.shape)
        if self.axes.startswith("[1, T"):
            x = x[None]
        if self.axes.endswith("T, 1"):
            x = x.unsqueeze(-2)
        return x[None, None] if self.axes == "[1, 1, T" else x


def tables_by_use(forward: Callable[..., Any], names: Sequence[str]) -> set[str]:
    """Return the arguments, of these, that a forward hands to a function called after rotary positions, behind what is rotated.

    No number is one, and nothing that has the name of a length or a place.
    """
    try:
        nodes = nodes_of(inspect.unwrap(forward))
        parameters = inspect.signature(forward).parameters
    except (OSError, TypeError, ValueError, SyntaxError):
        return set()
    numbers = {n for n, p in parameters.items() if p.annotation in (int, float, bool, "int", "float", "bool")}
    calls = [node for node in nodes if isinstance(node, ast.Call) and _ROTATES.search(name_of_call(node))]
    behind = {x.id for call in calls for x in given_in(call)[1:] if isinstance(x, ast.Name)}
    first = {x.id for call in calls for x in given_in(call)[:1] if isinstance(x, ast.Name) and len(given_in(call)) > 1}
    handed = {n for n in names if n in behind | first and n not in numbers and not _NUMBER.search(n)}
    return {n for n in handed if not is_called(n, QUERY | KEY | VALUE | CONTEXT | SELF)}


def forms(names: Collection[str]) -> Iterator[Form]:
    """Yield the forms of what a forward takes, the one that goes with the names first."""
    two = any(name in COSINES | SINES | REAL | IMAGINARY for name in names)
    usual = _usual(next(iter(names)))
    yield usual
    for kind, halved, axes in itertools.product(("pair",) if two else _KINDS, (False, True), _AXES):
        form = Form(kind, axes, halved)
        if form != usual and (halved or kind in ("pair", "angles")):
            yield form


def _usual(name: str) -> Form:
    if name in COMPLEX:
        return Form("complex", "[T", True)
    return Form("pair", "[T", True) if name in REAL | IMAGINARY else Form("pair", "[B, T", False)


def usual_layout(names: Collection[str]) -> Literal["half", "interleaved"]:
    """Return the layout that goes with what a forward takes: complex factors rotate neighbours, all else halves."""
    return "interleaved" if any(name in COMPLEX | REAL | IMAGINARY for name in names) else "half"


def given(name: str, rotary: Rotary, x: Tensor, d_k: int, form: Form | None = None) -> Any:
    """Return what the argument ``name`` is given for tokens x [B, T, D] and heads of d_k features.

    ``form`` is that of tables, where it is not the one that goes with the name.
    """
    batch, length = x.size(0), x.size(1)
    places = torch.arange(length, device=x.device) + rotary.offset
    if name in FIRST:
        return rotary.offset
    if name in PLACES:
        return places.expand(batch, length)
    form = form or _usual(name)
    t = torch.promote_types(x.dtype, torch.float32)
    width = rotary.width(d_k)
    angles = places.to(t)[:, None] / rotary.base ** (torch.arange(0, width, 2, dtype=t, device=x.device) / width)
    if form.kind == "complex":
        return form.table(torch.polar(torch.ones_like(angles), angles), batch)
    if not form.halved:
        angles = torch.cat([angles, angles], -1) if rotary.layout == "half" else angles.repeat_interleave(2, -1)
    if form.kind == "angles":
        return form.table(angles, batch)
    cos, sin = (form.table(table.to(x.dtype), batch) for table in (angles.cos(), angles.sin()))
    if form.kind == "stacked":
        return torch.stack((cos, sin), -1)
    return cos if name in COSINES | REAL else sin if name in SINES | IMAGINARY else (cos, sin)
