"""A map in front of the attention, and pooled tokens behind it, in one class."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question

FEW = ("oracle.output_without_mask",)


class SelfAttention(nn.Module):
    scaled = True

    def __init__(self, hidden_dim: int, num_heads: int) -> None:
        super().__init__()
        assert hidden_dim % num_heads == 0
        self.num_heads = num_heads
        self.query, self.key, self.value, self.out = (nn.Linear(hidden_dim, hidden_dim) for _ in range(4))

    def attend(self, x: Tensor, of_keys: Tensor | None = None) -> Tensor:
        of_keys = x if of_keys is None else of_keys
        maps = ((self.query, x), (self.key, of_keys), (self.value, x))
        q, k, v = (f(y).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, y in maps)
        scores = q @ k.mT / (q.size(-1) ** 0.5 if self.scaled else 1.0)
        return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)

    def forward(self, x: Tensor) -> Any:
        return self.out(self.attend(x))


class Unscaled(SelfAttention):
    scaled = False


class Embedded(SelfAttention):
    """Inputs of another width are brought to that of the attention."""

    def __init__(self, input_dim: int, hidden_dim: int, num_heads: int) -> None:
        super().__init__(hidden_dim, num_heads)
        self.input_layer = nn.Linear(input_dim, hidden_dim)

    def forward(self, x: Tensor) -> Any:
        return self.out(self.attend(self.input_layer(x)))


class EmbeddedUnscaled(Embedded):
    scaled = False


class KeysNotEmbedded(Embedded):
    def forward(self, x: Tensor) -> Any:
        return self.out(self.attend(self.input_layer(x), x))


class MapInFront(SelfAttention):
    """Nothing says that the first map is one of the input: it may be the out projection in the wrong place."""

    def __init__(self, hidden_dim: int, num_heads: int) -> None:
        super().__init__(hidden_dim, num_heads)
        self.out, self.fc = nn.Identity(), nn.Linear(hidden_dim, hidden_dim)

    def forward(self, x: Tensor) -> Any:
        return self.attend(self.fc(x))


class Pooled(SelfAttention):
    def forward(self, x: Tensor) -> Any:
        return self.out(self.attend(x)).mean(dim=1)


class PooledUnscaled(Pooled):
    scaled = False


class PooledHeads(SelfAttention):
    def __init__(self, hidden_dim: int, num_heads: int) -> None:
        super().__init__(hidden_dim, num_heads)
        self.out = nn.Identity()

    def forward(self, x: Tensor) -> Any:
        return self.attend(x).amax(dim=1)


class Classifier(Embedded):
    def __init__(self, input_dim: int, hidden_dim: int, num_heads: int, num_classes: int) -> None:
        super().__init__(input_dim, hidden_dim, num_heads)
        self.classify = nn.Linear(hidden_dim, num_classes)

    def forward(self, x: Tensor) -> Any:
        return self.classify(super().forward(x).mean(dim=1))


class ClassifierUnscaled(Classifier):
    scaled = False


class FirstToken(SelfAttention):
    def forward(self, x: Tensor) -> Any:
        return self.out(self.attend(x))[:, 0]


class Recogniser(nn.Module):
    """The attention is a part of its own."""

    kind: type[SelfAttention] = SelfAttention

    def __init__(self, hidden_dim: int, num_heads: int) -> None:
        super().__init__()
        self.attention = self.kind(hidden_dim, num_heads)
        self.last = nn.Linear(hidden_dim, 3)

    def forward(self, x: Tensor) -> Any:
        return self.last(self.attention(x).mean(1))


class RecogniserUnscaled(Recogniser):
    kind = Unscaled


@pytest.mark.parametrize("name", ["Embedded", "Recogniser", "FirstToken"])
def test_right_ones_hold(name: str) -> None:
    assert verify(f"{__file__}:{name}", dtypes="float64", properties=FEW)


@pytest.mark.parametrize("name", ["EmbeddedUnscaled", "RecogniserUnscaled"])
def test_wrong_ones_are_violated(name: str) -> None:
    assert not verify(f"{__file__}:{name}", dtypes="float64", properties=FEW)


def test_what_is_left_out_is_named() -> None:
    assert "the map input_layer" in understand(f"{__file__}:Embedded").not_judged
    assert "what comes after the attention" in understand(f"{__file__}:Recogniser").not_judged


def test_keys_of_the_input_itself_are_a_question() -> None:
    with pytest.raises(Question, match="key is given the input itself, and query, value what input_layer makes of it"):
        understand(f"{__file__}:KeysNotEmbedded")


@pytest.mark.parametrize(
    ("name", "words", "holds"),
    [
        ("MapInFront", "the map fc before the attention", True),
        ("Pooled", "its output has no tokens", True),
        ("PooledHeads", "its output has no tokens", True),
        ("Classifier", "its output has no tokens", True),
        ("PooledUnscaled", "its output has no tokens", False),
        ("ClassifierUnscaled", "its output has no tokens", False),
    ],
)
def test_what_names_do_not_show_is_a_question(name: str, words: str, holds: bool) -> None:
    with pytest.raises(Question, match=words) as asked:
        understand(f"{__file__}:{name}")
    assert asked.value.declaration == {"surroundings": "left-out"}
    found = verify(f"{__file__}:{name}", dtypes="float64", contract=asked.value.declaration, properties=FEW)
    assert bool(found) is holds, str(found)
