"""The formula of a layer is read from one call, in whatever style its sums, norms and feed-forwards are written."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mhsa.introspect.layers.layer_formula import MOST_ATTENTIONS, layer_formula
from mhsa.introspect.layers.watched_forward import watched_forward
from tests.helpers.layers import Layers

WIDTH = 8
A = "a = x + attention(norm(x)); a + feed_forward(norm(a))"
POST = "a = norm(x + attention(x)); norm(a + feed_forward(a))"

SCALED = "a = x + scale(attention(norm(x))); a + feed_forward(norm(a))"


class Attention(Layers):
    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Any:
        return self.attend(query, key, value), query.new_zeros(1)


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn, self.cross = Attention(2, WIDTH), Attention(2, WIDTH)
        self.n1, self.n2, self.n3 = (nn.LayerNorm(WIDTH) for _ in range(3))
        self.up, self.gate, self.down = nn.Linear(WIDTH, 12), nn.Linear(WIDTH, 12), nn.Linear(12, WIDTH)
        self.square, self.drop = nn.Linear(WIDTH, WIDTH), nn.Dropout(0.1)
        self.gain = nn.Parameter(torch.rand(WIDTH) + 1)

    def att(self, x: Tensor) -> Tensor:
        y: Tensor = self.attn(x, x, x)[0]
        return y

    def fed(self, x: Tensor) -> Tensor:
        y: Tensor = self.down(self.up(x).relu())
        return y


class Usual(Layer):
    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop(self.att(self.n1(x)))
        return x + self.drop(self.fed(self.n2(x)))


class CallsForward(Usual):
    """Which no hook sees."""

    def att(self, x: Tensor) -> Tensor:
        y: Tensor = self.attn.forward(x, x, value=x)[0]
        return y


class InPlace(Layer):
    def forward(self, x: Tensor) -> Tensor:
        residual, y = x, self.att(self.n1(x))
        y += residual
        out = self.fed(self.n2(y))
        out += y
        return out


class AsFunctions(Layer):
    def forward(self, x: Tensor) -> Tensor:
        h = torch.add(x, self.att(functional.layer_norm(x, (WIDTH,))))
        return h.add(functional.linear(functional.gelu(self.up(functional.layer_norm(h, (WIDTH,)))), self.down.weight))


class GatedFeedForward(Layer):
    def forward(self, x: Tensor) -> Tensor:
        x = x + self.att(self.n1(x))
        h = self.n2(x)
        return x + self.down(functional.silu(self.gate(h)) * self.up(h))


class TokensFirst(Layer):
    def forward(self, x: Tensor) -> Tensor:
        y = x.transpose(0, 1)
        y = y + self.att(self.n1(y).transpose(0, 1)).permute(1, 0, 2)
        return (y + self.fed(self.n2(y))).transpose(1, 0)


class AddAndNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.n = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        return self.n(x + y)


class SumsInAPart(Layer):
    def __init__(self) -> None:
        super().__init__()
        self.add_norm1, self.add_norm2 = AddAndNorm(), AddAndNorm()

    def forward(self, x: Tensor) -> Any:
        x = self.add_norm1(x, self.att(x))
        return self.add_norm2(x, self.fed(x))


class MapBehindTheAttention(Layer):
    def forward(self, x: Tensor) -> Any:
        x = self.n1(x + self.square(self.att(x)))
        return self.n2(x + self.fed(x))


class NormInTheFeedForward(Layer):
    def forward(self, x: Tensor) -> Any:
        x = self.n1(x + self.att(x))
        return self.n2(x + self.square(self.n3(self.fed(x)).relu()))


class TwoBranches(Layer):
    def forward(self, x: Tensor) -> Any:
        x = self.n1(x + self.att(x))
        return self.n2(x + (self.fed(x) + self.square(x)))


class HalfSteps(Layer):
    def forward(self, x: Tensor) -> Any:
        x = x + 0.5 * self.fed(self.n1(x))
        return x + self.att(self.n2(x))


class Decoder(Layer):
    def forward(self, x: Tensor, y: Tensor) -> Any:
        x = self.n1(x + self.att(x))
        x = self.n2(x + self.cross(value=y, key=y, query=x)[0])
        return self.n3(x + self.fed(x))


class ValuesWithoutNorm(Layer):
    def forward(self, x: Tensor) -> Any:
        h = self.n1(x)
        return x + self.attn(h, h, x)[0]


class Mapped(Layer):
    def forward(self, x: Tensor) -> Any:
        x = self.square(x)
        return x + self.att(self.n1(x))


class Scaled(Layer):
    def forward(self, x: Tensor) -> Any:
        return x + self.gain * self.att(self.n1(x))


class LayerScale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(WIDTH) + 1)

    def forward(self, x: Tensor) -> Any:
        return x.mul_(self.gamma)


class ScaledInAPart(Layer):
    def __init__(self) -> None:
        super().__init__()
        self.ls1, self.ls2 = LayerScale(), LayerScale()

    def forward(self, x: Tensor) -> Any:
        x = x + self.ls1(self.att(self.n1(x)))
        return x + self.ls2(self.fed(self.n2(x)))


class SquashedNumber(Layer):
    """As ReZero, or as an attention to pictures that is let in step by step; its out projection is one of its own."""

    def forward(self, x: Tensor) -> Any:
        return self.n1(x + self.square(self.att(x)) * self.gain[0].tanh() * self.gain[1])


class ScaledNorm(Layer):
    def forward(self, x: Tensor) -> Any:
        return x + self.gain * self.n2(self.att(self.n1(x)))


class DropsPaths(Layer):
    def dropped(self, x: Tensor, rate: float = 0.1) -> Tensor:
        if rate == 0.0 or not self.training:
            return x
        return x / (1 - rate) * x.new_empty(x.size(0), 1, 1).bernoulli_(1 - rate)

    def forward(self, x: Tensor) -> Any:
        x = x + self.dropped(self.gain * self.att(self.n1(x)))
        return x + self.dropped(self.fed(self.n2(x)))


class ScaledSum(Layer):
    def forward(self, x: Tensor) -> Any:
        return self.gain * (x + self.att(x))


class ScaledResidual(Layer):
    def forward(self, x: Tensor) -> Any:
        return self.gain * x + self.att(x)


class ScaledTokens(Layer):
    """Not each feature has a factor, but each token."""

    def forward(self, x: Tensor) -> Any:
        return x + self.att(x) * self.gain[: x.size(1), None]


class ScaledBeforeAMap(Layer):
    def forward(self, x: Tensor) -> Any:
        return x + self.square(self.gain * self.att(x))


class Gated(Layer):
    def forward(self, x: Tensor) -> Any:
        y = self.att(x)
        return x + y * self.square(y).sigmoid()


class OtherTokens(Layer):
    """The residual of each token is that of another one."""

    def forward(self, x: Tensor) -> Any:
        return x.reshape(x.size(1), x.size(0), -1).transpose(0, 1) + self.att(x)


class PartOfTheSum(Layer):
    def forward(self, x: Tensor) -> Any:
        y = x + self.att(x)
        y[:, 0] = 0.0
        return y


class Positions(Layer):
    def forward(self, x: Tensor) -> Any:
        x = x + self.gain
        return x + self.att(x)


class TwoAttentionsOfOneInput(Layer):
    """Two terms of one name, which are not the same."""

    def forward(self, x: Tensor) -> Any:
        return x + self.att(x) + self.cross(x, x, x)[0]


class Stack(Layer):
    def forward(self, x: Tensor) -> Any:
        for _ in range(MOST_ATTENTIONS + 1):
            x = x + self.att(x)
        return x


READ = {
    Usual: A, CallsForward: A,
    InPlace: A, AsFunctions: A, GatedFeedForward: A, TokensFirst: A, SumsInAPart: POST, MapBehindTheAttention: POST,
    NormInTheFeedForward: POST, TwoBranches: POST,
    HalfSteps: "x + attention(norm(x + feed_forward(norm(x)))) + feed_forward(norm(x))",
    Decoder: "a = norm(x + attention(x)); b = norm(a + attention(a, y)); norm(b + feed_forward(b))",
    ValuesWithoutNorm: "x + attention(norm(x), norm(x), x)", Mapped: "map(x) + attention(norm(map(x)))",
    Scaled: "x + scale(attention(norm(x)))", ScaledInAPart: SCALED, DropsPaths: SCALED,
    SquashedNumber: "norm(x + scale(attention(x)))", ScaledNorm: "x + scale(norm(attention(norm(x))))",
}  # fmt: skip
NOT_READ = [
    ScaledSum, ScaledResidual, ScaledTokens, ScaledBeforeAMap, Gated, OtherTokens, PartOfTheSum, Positions,
    TwoAttentionsOfOneInput, Stack,
]  # fmt: skip


def formula(kind: type[Layer]) -> str:
    torch.manual_seed(0)
    layer = kind().double().eval()
    given = [torch.randn(3, length, WIDTH, dtype=torch.float64) for length in (5, 7)][: 1 + (kind is Decoder)]
    return str(layer_formula(layer, lambda: layer(*given), {"attn": "attention", "cross": "attention"}) or "")


@pytest.mark.parametrize("kind", READ, ids=lambda kind: kind.__name__)
def test_a_layer_in_this_style_is_read(kind: type[Layer]) -> None:
    assert formula(kind) == READ[kind]


@pytest.mark.parametrize("kind", NOT_READ, ids=lambda kind: kind.__name__)
def test_a_layer_that_does_more_is_not_taken_for_one_that_does_not(kind: type[Layer]) -> None:
    assert formula(kind) == ""


class Bits(Layer):
    """A view of the bits of its input, which no numbers of places have."""

    def forward(self, x: Tensor) -> Any:
        return x.view(torch.int16).view(torch.float64) + self.att(x)


class Raises(Layer):
    def forward(self, x: Tensor) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("kind", [Bits, Raises], ids=lambda kind: kind.__name__)
def test_what_cannot_be_followed_is_not_known(kind: type[Layer]) -> None:
    assert formula(kind) == ""


class OneQuery(Layer):
    """Takes one query for each sample, [B, D], so that several are given one after another."""

    def forward(self, x: Tensor, y: Tensor) -> Any:
        x = self.n1(x + self.attn(x[:, None], y, y)[0].squeeze(1))
        return self.n2(x + self.fed(x))


def test_a_layer_of_one_query_is_read_in_the_first_of_its_calls() -> None:
    torch.manual_seed(0)
    layer = OneQuery().double().eval()
    queries, y = torch.randn(MOST_ATTENTIONS + 1, 3, WIDTH, dtype=torch.float64), torch.randn(3, 7, WIDTH, dtype=torch.float64)
    assert str(layer_formula(layer, lambda: [layer(x, y) for x in queries], {"attn": "attention"})) == POST


def test_parts_are_as_they_were() -> None:
    layer = CallsForward().double().eval()
    layer.own = lambda x: x
    layer.drop.forward = layer.own
    with pytest.raises(ValueError, match="within"):
        _fail_within(layer)
    assert layer.drop.forward is layer.own
    assert "forward" not in vars(layer.attn)


def _fail_within(layer: Layer) -> None:
    seen: list[str] = []
    parts = ((part, lambda *_: seen.append("before"), lambda *_: seen.append("after")) for part in layer.modules())
    with watched_forward(parts):
        layer.drop(torch.zeros(1))
        layer.attn.forward(*[torch.zeros(1, 2, WIDTH, dtype=torch.float64)] * 3)
        assert seen[:3] == ["before", "after", "before"]
        raise ValueError("within")
