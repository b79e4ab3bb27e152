"""What properties do with the single heads of a trial."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from mhsa.oracle.attention import shared_heads
from mhsa.oracle.bounded import Array
from mhsa.subject.trial import Trial


def keep_only_head(trial: Trial, whole: Array, h: int) -> None:
    """Set the W_O blocks of all heads but ``h`` to zero; ``whole`` [d_model, H * d_v] is W_O as it was."""
    alone = np.zeros_like(whole)
    part = slice(h * trial.d_v, (h + 1) * trial.d_v)
    alone[:, part] = whole[:, part]
    trial.write(out_weight=alone)


def key_head(trial: Trial, h: int) -> int:
    """Return which head of keys and values query head ``h`` reads."""
    return h * shared_heads(trial.projections, trial.case.head, trial.formula) // trial.case.head


def split_heads(trial: Trial, x: Array) -> Tensor:
    """Return a new tensor [B, H, T, d_k] with the numbers of x [B, T, d_model], as a function of heads takes it."""
    batch, length, _ = x.shape
    return trial.tensor(x).view(batch, length, trial.case.head, trial.case.d_k).transpose(1, 2)
