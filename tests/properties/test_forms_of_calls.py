"""What holds in one form of call must hold in all: formats, biases that are switched off, derivatives of derivatives."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import Verification, verify
from tests.helpers.layers import Layers

HALF = ("half_formats.*",)
SWITCH = ("construction.a_switch_of_biases_is_obeyed_by_all",)
AGAIN = ("graphs.gradients_are_differentiated_again",)
MAPS = ("construction.every_map_is_trained",)


class Same(Layers):
    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Any:
        return self.attend(query, key, value)


class SingleInTrainMode(Same):
    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Any:
        output = self.attend(query, key, value)
        return output.float() if self.training and output.dtype != torch.float64 else output


class SingleForOneQuery(Same):
    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Any:
        output = self.attend(query, key, value)
        return output.float() if query.size(1) == 1 and output.dtype != torch.float64 else output


class Switched(Layers):
    kept: tuple[str, ...] = ()

    def __init__(self, num_heads: int, d_model: int, bias: bool = True) -> None:
        super().__init__(num_heads, d_model)
        for name in "qkvo":
            setattr(self, name, nn.Linear(d_model, d_model, bias=bias or name in self.kept))

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Any:
        return self.attend(query, key, value)


class OutKept(Switched):
    kept = ("o",)


class OutKeptAsSaid(Switched):
    """An attention.

    Args:
        bias: whether the maps of queries, keys and values have one.
    """

    kept = ("o",)


class ValuesKept(Switched):
    kept = ("v",)


class KeysKept(Switched):
    kept = ("k",)  # which never acts


class OutAlone(Switched):
    kept = ("q", "k", "v")


class OutAloneOffByDefault(OutAlone):
    def __init__(self, num_heads: int, d_model: int, bias: bool = False) -> None:
        super().__init__(num_heads, d_model, bias)


class ValuesKeptOffByDefault(ValuesKept):
    def __init__(self, num_heads: int, d_model: int, bias: bool = False) -> None:
        super().__init__(num_heads, d_model, bias)


class OffByDefault(Switched):
    kept = ("o",)

    def __init__(self, num_heads: int, d_model: int, bias: bool = False) -> None:
        super().__init__(num_heads, d_model, bias)


class SoftmaxOfKept(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, s: Tensor) -> Tensor:
        ctx.weights = s.softmax(-1)
        return ctx.weights.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return ctx.weights * (grads[0] - (ctx.weights * grads[0]).sum(-1, keepdim=True))


class Kept(Layers):
    """Promises first derivatives only, as every custom function does."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Any:
        q, k, v = (
            f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        weights: Any = SoftmaxOfKept.apply(q @ k.mT * self.scale)  # type: ignore[no-untyped-call]
        return self.o((weights @ v).transpose(1, 2).flatten(2))


class DetachedOnItsWay(Same):
    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Any:
        output = self.attend(query, key, value)
        if output.requires_grad:
            output.register_hook(lambda gradient: gradient.detach())
        return output


class Lowered(Same):
    def lowers(self) -> bool:
        return True

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Any:
        if not self.lowers():
            return self.attend(query, key, value)
        return self.attend(query, key, value.float().to(value.dtype))


class LoweredWithoutGradients(Lowered):
    def lowers(self) -> bool:
        return not torch.is_grad_enabled()


class LoweredInEvalMode(Lowered):
    def lowers(self) -> bool:
        return not self.training


class MadeAnew(Same):
    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Any:
        self.gain = nn.Parameter(torch.ones(query.size(-1), dtype=query.dtype))
        return self.attend(query, key, value * self.gain)


def judged(kind: type[nn.Module], properties: tuple[str, ...], **contract: str) -> Verification:
    spec = f"{__file__}:{kind.__name__}"
    return verify(spec, profile="quick", properties=properties, contract=contract or None)


@pytest.mark.parametrize(
    ("kind", "properties", "verdict"),
    [
        (Same, HALF, "holds"),
        (SingleInTrainMode, HALF, "violated"),
        (SingleForOneQuery, HALF, "violated"),
        (Switched, SWITCH, "holds"),
        (KeysKept, SWITCH, "holds"),
        (OutKeptAsSaid, SWITCH, "holds"),
        (OffByDefault, SWITCH, "holds"),
        (ValuesKept, SWITCH, "violated"),
        (ValuesKeptOffByDefault, SWITCH, "violated"),
        (OutAloneOffByDefault, SWITCH, "holds"),
        (Same, AGAIN, "holds"),
        (DetachedOnItsWay, AGAIN, "violated"),
        (Kept, AGAIN, "unjudged"),
        (MadeAnew, MAPS, "violated"),
    ],
    ids=lambda x: x.__name__ if isinstance(x, type) else "",
)
def test_a_form_is_as_right_as_the_others(kind: type[nn.Module], properties: tuple[str, ...], verdict: str) -> None:
    found = judged(kind, properties)
    assert found.verdict == verdict, found


@pytest.mark.parametrize("kind", [OutKept, OutAlone])
def test_a_switch_of_one_side_alone_is_a_question(kind: type[nn.Module]) -> None:
    asked = judged(kind, SWITCH)
    assert (asked.verdict, asked.declaration) == ("question", {"bias_switch": "some"})
    assert judged(kind, SWITCH, bias_switch="all").verdict == "violated"
    assert judged(kind, (*SWITCH, *AGAIN), bias_switch="some").verdict == "holds"


@pytest.mark.parametrize(
    ("kind", "found"), [(Lowered, "float32"), (LoweredWithoutGradients, "float64"), (LoweredInEvalMode, "float64")]
)
def test_float64_that_is_lowered_in_one_form_alone_is_not_excused(kind: type[nn.Module], found: str) -> None:
    assert understand(f"{__file__}:{kind.__name__}").contract.float64_in == found


class TurnsInSingle(Layers):
    """Rotary positions whose angles and products are in float32, as in public models."""

    def turned(self, x: Tensor) -> Tensor:
        x = x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        frequencies = 10000.0 ** (-torch.arange(0, x.size(3), 2) / x.size(3))
        angles = torch.arange(x.size(2))[:, None] * frequencies
        pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(3).to(x.dtype)

    def forward(self, x: Tensor) -> Any:
        q, k, v = self.turned(self.q(x)), self.turned(self.k(x)), self.v(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        return self.o(((q @ k.mT * self.scale).softmax(-1) @ v).transpose(1, 2).flatten(2))


def test_quotients_that_see_the_rounding_of_float32_say_nothing() -> None:
    found = judged(TurnsInSingle, (*AGAIN, "oracle.output_*"), rotary="interleaved")
    assert found.verdict == "holds", found
    (again,) = (p for p in found.properties if p.id in AGAIN)
    assert (again.outcome, "converts numbers on the way" in again.reason) == ("not-applicable", True)
