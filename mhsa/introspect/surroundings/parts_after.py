"""Parts that come after the attention: parameters that it does not depend on, and dropouts outside of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mhsa.introspect.surroundings.watched_call import PartCall


def drops_after(module: nn.Module, calls: Sequence[PartCall], at: int, attention: PartCall) -> bool:
    """Whether the module has dropouts, and each of them is called after the attention, and outside of it."""
    there = {path for path, part in module.named_modules() if isinstance(part, nn.modules.dropout._DropoutNd)}
    after = {c.path for c in calls[at + 1 :] if not c.path.startswith(f"{attention.path}.")}
    return bool(there) and there <= after - {c.path for c in calls[:at]}


def only_after(module: nn.Module, attention: Tensor | None, whole: Tensor | None) -> tuple[str, ...]:
    """Return the paths of parameters that the module's output depends on, and its attention's does not."""
    parameters = dict(module.named_parameters(remove_duplicate=False))

    def reached(output: Tensor | None) -> set[str]:
        if output is None or not output.requires_grad:
            return set()
        try:
            found = torch.autograd.grad(output.sum(), list(parameters.values()), allow_unused=True, retain_graph=True)
        except RuntimeError:  # an input of a norm was changed in place, say: the properties of gradients report it
            return set()
        return {path for path, gradient in zip(parameters, found, strict=True) if gradient is not None}

    return tuple(sorted(reached(whole) - reached(attention)))
