"""Tensors, text and comparisons as the lines of a script."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import torch
from torch import Tensor

MEMBERS = (
    "members = list(result.values()) if isinstance(result, dict) else result\n"
    "members = members if isinstance(members, (tuple, list, torch.Tensor)) else list(vars(members).values())"
)


def judged_lines(name: str, must: Any, rows: Any) -> list[str]:
    """Lines that print what is and what must be, and end with an error where they differ by more than rounding."""
    bound = np.broadcast_to(must.error, must.value.shape)
    lines = [f"must_be = {tensor_text(torch.tensor(must.value))}", f"rounding = {tensor_text(torch.tensor(bound))}  # at most"]
    lines += [f'print("{name}  is", {name}.tolist())', f'print("{name}  must be", must_be.tolist())']
    lines += [f"assert {name}.shape == must_be.shape", f"off = ({name}.detach().double() - must_be).abs()"]
    if not rows.all():
        lines.append(f"off[~{tensor_text(torch.tensor(rows))}.expand_as(off)] = 0  # rows without a key, whose value is open")
    return [*lines, f'assert (off <= rounding).all(), f"{name} is off by up to {{off.max().item():.3g}}"', ""]


def tensor_text(x: Tensor) -> str:
    """Return the expression that makes a tensor with these numbers, this dtype and this layout in memory."""
    x = x.detach().cpu()
    dtype = f", dtype={x.dtype}"
    written = repr(x.tolist()).replace("nan", "float('nan')").replace("inf", "float('inf')")
    text = f"torch.tensor({written}{dtype})" if x.numel() else f"torch.zeros({list(x.shape)}{dtype})"
    if x.is_contiguous() or x.dim() != 3:
        return text
    if x.transpose(0, 1).is_contiguous():
        return f"{text}.transpose(0, 1).contiguous().transpose(0, 1)"
    return f"torch.empty_strided({tuple(x.shape)}, {x.stride()}{dtype}).copy_({text})"


def wrapped(text: str) -> str:
    """Return text for a docstring, folded at spaces."""
    escaped = text.replace("\\", "\\\\").replace('"""', "'''")
    return "\n".join(textwrap.fill(line, 110) for line in escaped.splitlines())
