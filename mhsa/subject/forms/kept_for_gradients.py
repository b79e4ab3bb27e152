"""What autograd keeps for a backward pass is kept as it was, though the module changes it in place afterwards (x += ...)."""

from __future__ import annotations

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


def kept_for_gradients() -> saved_tensors_hooks:
    """Return a context in which calls can be differentiated, whatever they change in place: for readings, not for verdicts."""
    return saved_tensors_hooks(lambda x: x.detach().clone(), _as_it_was)


def _as_it_was(kept: Tensor) -> Tensor:
    return kept
