"""Options of a constructor that the source closes: words, dicts of arguments, shapes; the one for plain attention is taken."""

import enum
from typing import Any, Literal

import pytest
import torch
from torch import nn

from mhsa.introspect.resolve import understand
from tests.subject.constructed import Plain, adapter, words


def usual(x: torch.Tensor, maps: Any, heads: int, rate: float = 0.0) -> torch.Tensor:
    q, k, v = (maps[i](x).unflatten(-1, (heads, -1)).transpose(1, 2) for i in range(3))
    weights = nn.functional.dropout((q @ k.mT / q.size(-1) ** 0.5).softmax(-1), rate, training=False)
    return maps[3]((weights @ v).transpose(1, 2).flatten(2))


def doubled(x: torch.Tensor, maps: Any, heads: int, *, steps: int) -> torch.Tensor:
    return usual(2 * x, maps, heads) * steps


class Flavour(enum.Enum):
    LINEAR = 1
    STANDARD = 2


KINDS = {"linear": doubled, "dot-product": usual}


class Options(Plain):
    """Several options, each closed in another way."""

    def __init__(
        self, heads: int, dim: int, mode, flavour: Flavour, level: Literal["low", "vanilla"], kind, more, grid, num_layers
    ) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.prepare(heads, dim)
        rows, columns = grid
        self.places, self.fn, self.more = rows * columns, KINDS[kind], more
        match mode:
            case "axial":
                self.scale = 2.0
            case "full_attention":
                self.scale = 1.0 / num_layers
            case _:
                raise ValueError(mode)
        self.chosen = (mode, flavour, level, kind)
        self.wrong = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flavoured = 1.0 if self.chosen[1] is Flavour.STANDARD else 3.0
        return self.wrong * self.fn(x * self.scale * flavoured, self.maps, self.count, **self.more)


class OptionsWithABug(Options):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 1.5 * super().forward(x)


class Looked(Plain):
    """Reads one key of a dict, and looks for another."""

    def __init__(self, heads: int, dim: int, extra: dict) -> None:  # type: ignore[type-arg]
        super().__init__()
        self.prepare(heads, dim)
        self.rates = (extra["attn_drop"], extra.get("proj_drop", 0.0), extra.get("colour"))


@pytest.mark.parametrize("name", ["Options", "OptionsWithABug"])
def test_the_word_for_plain_attention_is_taken_of_a_closed_set(name: str) -> None:
    subject = understand(f"{__file__}:{name}")  # no question, with the bug either: nothing else can be meant
    found = words(subject)
    for value in ("mode='full_attention'", "flavour=<Flavour.STANDARD: 2>", "level='vanilla'", "kind='dot-product'"):
        assert value in found
    assert "grid=(1, 1026)" in found
    assert "num_layers=1" in found
    assert "more=dict(rate=" in found


def test_keys_of_a_dict_are_those_that_the_source_reads() -> None:
    assert adapter(Looked).build_dropping(4, 20, 0.25).rates == (0.25, 0.25, None)  # type: ignore[union-attr]
