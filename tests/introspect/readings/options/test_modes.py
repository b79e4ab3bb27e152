"""In no mode that a word of the constructor chooses may a call use what another one has kept."""

import pytest
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify

ONE = "oracle.output_without_mask"


class OfAKind(nn.Module):
    """Attention for one of two places in a decoder."""

    def __init__(self, num_heads: int, d_model: int, kind: str = "own") -> None:
        super().__init__()
        assert d_model % num_heads == 0
        assert kind in ("own", "other", "far", "static-memory")
        self.num_heads, self.kind = num_heads, kind
        self.kept: tuple[Tensor, Tensor] | None = None
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def keys_and_values(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        return self.k(key), self.v(value)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        q, k, v = (
            x.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for x in (self.q(query), *self.keys_and_values(key, value))
        )
        if self.kind == "far":
            k = k.flip(2)
        return self.o(((q @ k.mT / q.size(3) ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))


class Keeping(OfAKind):
    """What it has kept fits where the sizes do."""

    place = "other"

    def keys_and_values(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        if self.kind == self.place and self.kept is not None and self.kept[0].shape == key.shape:
            return self.kept
        self.kept = self.k(key), self.v(value)
        return self.kept


class KeepingAsItsModeSays(Keeping):
    place = "static-memory"


class ResetBefore(Keeping):
    def reset(self) -> None:
        self.kept = None


def test_what_is_kept_in_another_mode_is_a_violation() -> None:
    assert "with kind='other', a second call" in understand(f"{__file__}:Keeping").wrong_call
    assert verify(f"{__file__}:Keeping", dtypes="float64", properties=ONE).verdict == "violated"


@pytest.mark.parametrize("name", ["OfAKind", "KeepingAsItsModeSays", "ResetBefore"])
def test_other_modes_are_not_wrong_and_stay_named(name: str) -> None:
    subject = understand(f"{__file__}:{name}")
    assert not subject.wrong_call
    assert "constructor argument kind" in subject.not_judged
    assert verify(f"{__file__}:{name}", dtypes="float64", properties=ONE)
