"""What a layer computes around its attention: usual forms hold, unusual ones are questions, and mistakes are violated."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question, SubjectError
from mhsa.records.request import Request
from tests.helpers.layers import Layers

RESIDUALS = "layers.residuals_are_in_their_places"
OUTPUT = "oracle.output_without_mask"
PRE_NORM = "a = x + attention(norm(x)); a + feed_forward(norm(a))"


class Layer(Layers):
    """Norms and a feed-forward; what is made of them is up to each class."""

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.linear1, self.linear2 = nn.Linear(d_model, 2 * d_model), nn.Linear(2 * d_model, d_model)

    def fed(self, x: Tensor) -> Tensor:
        return self.linear2(self.linear1(x).relu())

    def attended(self, x: Tensor) -> Tensor:
        y: Tensor = self.attend(x, x, x)
        return y


class PreNorm(Layer):
    def forward(self, x: Tensor) -> Any:
        x = x + self.attended(self.norm1(x))
        return x + self.fed(self.norm2(x))


class PostNorm(Layer):
    def forward(self, x: Tensor) -> Any:
        x = self.norm1(x + self.attended(x))
        return self.norm2(x + self.fed(x))


class Parallel(Layer):
    def forward(self, x: Tensor) -> Any:
        h = self.norm1(x)
        return x + self.attended(h) + self.fed(h)


class Sandwiched(Layer):
    def forward(self, x: Tensor) -> Any:
        return x + self.norm2(self.attended(self.norm1(x)))


class AttentionOfNorm(Layers):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x: Tensor) -> Any:
        return self.norm(self.added(x, self.attend(x, x, x)))

    def added(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class AddedTwice(AttentionOfNorm):
    def added(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y + x


class AttentionTwice(AttentionOfNorm):
    def added(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y + y


class InputTwice(Layer):
    def forward(self, x: Tensor) -> Any:
        x = x + self.attended(self.norm1(x)) + x
        return x + self.fed(self.norm2(x))


class SecondFromAttention(Layer):
    def forward(self, x: Tensor) -> Any:
        y = self.attended(x)
        x = self.norm1(x + y)
        return self.norm2(y + self.fed(x))


class SecondFromInput(Layer):
    def forward(self, x: Tensor) -> Any:
        y = self.norm1(x + self.attended(x))
        return self.norm2(x + self.fed(y))


class WithAGate(Layer):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.gamma = nn.Parameter(1e-5 * torch.ones(d_model))


class Gated(WithAGate):
    def forward(self, x: Tensor) -> Any:
        x = x + self.gamma * self.attended(self.norm1(x))
        return x + self.fed(self.norm2(x))


class GatedTwice(WithAGate):
    def forward(self, x: Tensor) -> Any:
        x = x + self.gamma * self.attended(self.norm1(x)) + x
        return x + self.fed(self.norm2(x))


class GatedFromTheNorm(WithAGate):
    def forward(self, x: Tensor) -> Any:
        x = self.norm1(x)
        return x + self.gamma * self.attended(x)


class FromTheNorm(Layer):
    def forward(self, x: Tensor) -> Any:
        x = self.norm1(x)
        x = x + self.attended(x)
        return x + self.fed(self.norm2(x))


class FedAlone(Layer):
    def forward(self, x: Tensor) -> Any:
        return self.fed(self.norm2(x + self.attended(self.norm1(x))))


class InPlace(AttentionOfNorm):
    def forward(self, x: Tensor) -> Any:
        h = self.norm(x)
        x += self.attend(h, h, h)
        return x


USUAL = {
    "PreNorm": PRE_NORM,
    "PostNorm": "a = norm(x + attention(x)); norm(a + feed_forward(a))",
    "Parallel": "x + attention(norm(x)) + feed_forward(norm(x))",
    "Sandwiched": "x + norm(attention(norm(x)))",
    "AttentionOfNorm": "norm(x + attention(x))",
    "Gated": "a = x + scale(attention(norm(x))); a + feed_forward(norm(a))",
}
MISTAKES = {
    "AddedTwice": "x is added twice",
    "AttentionTwice": r"attention\(x\) is added twice",
    "InputTwice": "x is added twice",
    "GatedTwice": "x is added twice",
    "SecondFromAttention": r"the residual around the feed-forward is attention\(x\)",
    "SecondFromInput": "the residual around the feed-forward is x, and the feed-forward is given",
}
UNUSUAL = {
    "FromTheNorm": "a = norm(x) + attention(norm(x)); a + feed_forward(norm(a))",
    "GatedFromTheNorm": "norm(x) + scale(attention(norm(x)))",
    "FedAlone": "feed_forward(norm(x + attention(norm(x))))",
}


@pytest.mark.parametrize("name", USUAL)
def test_a_usual_layer_is_read_as_a_formula_and_judged(name: str) -> None:
    subject = understand(f"{__file__}:{name}", ("float64",))
    assert (subject.layer, subject.wrong_layer) == (USUAL[name], "")
    assert {"layer": USUAL[name]} in [each.declaration for each in subject.understood]


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_layer_is_violated(name: str) -> None:
    found = verify(f"{__file__}:{name}", dtypes="float64", properties=[RESIDUALS, OUTPUT])
    assert found.verdict == "violated"
    assert [p.id for p in found.properties if p.outcome == "fail"] == [RESIDUALS]
    assert re.search(MISTAKES[name], understand(f"{__file__}:{name}", ("float64",)).wrong_layer)


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_layer_is_a_question_that_holds_as_declared(name: str) -> None:
    with pytest.raises(Question, match="which is no usual form") as asked:
        understand(f"{__file__}:{name}", ("float64",))
    assert asked.value.declaration == {"layer": UNUSUAL[name]}
    declared = understand_as(name, layer=UNUSUAL[name])
    assert (declared.layer, declared.wrong_layer) == (UNUSUAL[name], "")
    assert understand_as(name, layer=PRE_NORM).wrong_layer.endswith("another formula is declared")


@pytest.mark.parametrize("name", ["AddedTwice", "FedAlone"])
def test_what_is_to_be_left_out_is_not_judged(name: str) -> None:
    subject = understand_as(name, surroundings="left-out")
    assert (subject.layer, subject.wrong_layer) == ("", "")


def test_a_residual_that_is_lost_later_is_violated_under_the_declared_layer() -> None:
    subject = understand_as("AttentionAlone", layer="x + attention(x)")
    assert (
        subject.wrong_layer == "the layer computes attention(x), but must compute x + attention(x): another formula is declared"
    )


def test_a_declared_layer_that_is_not_understood_cannot_be_judged() -> None:
    with pytest.raises(SubjectError, match="is not understood as sums of inputs"):
        understand_as("Activated", layer=PRE_NORM)


def test_an_input_that_is_changed_in_place_is_violated() -> None:
    found = verify(f"{__file__}:InPlace", dtypes="float64", properties=["purity.*", "gradients.gradients_of_inputs"])
    assert found.verdict == "violated"


class AttentionAlone(Layers):
    def forward(self, x: Tensor) -> Any:
        return self.attend(x, x, x)


class Activated(Layer):
    def forward(self, x: Tensor) -> Any:
        return (x + self.attended(self.norm1(x))).relu()


def understand_as(name: str, **contract: Any) -> Any:
    return understand(Request.of(f"{__file__}:{name}", dtypes=("float64",), contract=contract))
