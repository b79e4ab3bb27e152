"""What a forward is given that takes the angles of rotary positions from its caller, as the declared formula has them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from mhsa.oracle.formula.fields import Rotary

# What models hand from layer to layer. Each is [T, ...] or [B, T, ...], of the features that are rotated.
PAIRS = {"position_embeddings", "position_embedding", "rotary_pos_emb", "rotary_emb", "rope"}  # (cos, sin), each [B, T, width]
COMPLEX = {"freqs_cis", "freqs_complex", "complex_freqs"}  # cos + i sin [T, width / 2]
COSINES, SINES = {"cos", "rope_cos", "cos_cached"}, {"sin", "rope_sin", "sin_cached"}  # [B, T, width]
REAL, IMAGINARY = {"freqs_cos", "freqs_real"}, {"freqs_sin", "freqs_imag"}  # of such factors, in two tables [T, width / 2]
PLACES = {"position_ids", "positions", "pos_ids", "input_pos"}  # [B, T], whole numbers
FIRST = {"start_pos", "start_position"}  # the place of the first token
NAMES = PAIRS | COMPLEX | REAL | IMAGINARY | COSINES | SINES | PLACES | FIRST


def usual_layout(names: Collection[str]) -> str:
    """Return the layout that goes with what a forward takes: complex factors rotate neighbours, all else halves."""
    return "interleaved" if any(name in COMPLEX | REAL | IMAGINARY for name in names) else "half"


def given(name: str, rotary: Rotary, x: Tensor, d_k: int) -> Any:
    """Return what the argument ``name`` is given for tokens x [B, T, D] and heads of d_k features."""
    batch, length = x.size(0), x.size(1)
    places = torch.arange(length, device=x.device) + rotary.offset
    if name in FIRST:
        return rotary.offset
    if name in PLACES:
        return places.expand(batch, length)
    t = torch.promote_types(x.dtype, torch.float32)
    width = rotary.width(d_k)
    angles = places.to(t)[:, None] / rotary.base ** (torch.arange(0, width, 2, dtype=t, device=x.device) / width)
    if name in COMPLEX:
        return torch.polar(torch.ones_like(angles), angles)
    if name in REAL | IMAGINARY:
        return (angles.cos() if name in REAL else angles.sin()).to(x.dtype)
    both = torch.cat([angles, angles], -1) if rotary.layout == "half" else angles.repeat_interleave(2, -1)
    cos, sin = (table.to(x.dtype).expand(batch, length, width) for table in (both.cos(), both.sin()))
    return (cos, sin) if name in PAIRS else cos if name in COSINES else sin
