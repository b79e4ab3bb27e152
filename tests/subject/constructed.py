"""What tests of constructors share: a module with maps of no telling names, and what is said of how it is built."""

from collections.abc import Callable

import torch
from torch import nn

from mhsa.introspect.choose_adapter import as_adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.subject import Subject


def mixed(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return (q @ k.mT / q.size(-1) ** 0.5).softmax(-1) @ v


def attend(maps: nn.ModuleList, heads: int, x: torch.Tensor, mix: Callable[..., torch.Tensor] = mixed) -> torch.Tensor:
    q, k, v = (maps[i](x).unflatten(-1, (heads, -1)).transpose(1, 2) for i in range(3))
    return maps[3](mix(q, k, v).transpose(1, 2).flatten(2))


class Plain(nn.Module):
    def prepare(self, heads: int, d_model: int, inner: int | None = None) -> None:
        self.count = heads  # no name that says so
        inner = inner or d_model
        self.maps = nn.ModuleList([*(nn.Linear(d_model, inner) for _ in range(3)), nn.Linear(inner, d_model)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return attend(self.maps, self.count, x)


def adapter(target: object, **arguments: object) -> ModuleAdapter:
    found = as_adapter(target, "it", arguments)
    assert isinstance(found, ModuleAdapter)
    return found


def words(subject: Subject | ModuleAdapter, part: str = "constructor") -> str:
    return "; ".join(u.text for u in subject.understood if u.part == part)
