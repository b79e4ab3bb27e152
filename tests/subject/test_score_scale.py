"""A scale that must be given, by an argument or a configuration: the usual one, by what the source does with it."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.readings.fit import Fit
from mhsa.introspect.resolve import understand
from mhsa.subject.construction.by_source.score_scale import score_scale
from tests.subject.constructed import Plain, adapter, attend, words


class Scores(nn.Module):
    def __init__(self, hyper: Any) -> None:
        super().__init__()
        self.softness = hyper.scale

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (torch.matmul(q, k.mT) / self.softness).softmax(-1) @ v


class Configured(Plain):
    """Hands its configuration on to the part that scores."""

    def __init__(self, hyper: Any) -> None:
        super().__init__()
        self.prepare(hyper.num_heads, hyper.d_model)
        self.scores = Scores(hyper)

    def forward(self, x: Tensor) -> Tensor:
        return attend(self.maps, self.count, x, self.scores)


class KeysForValues(Configured):
    def forward(self, x: Tensor) -> Tensor:
        return attend(self.maps, self.count, x, lambda q, k, v: self.scores(q, k, k))


class Multiplies(Plain):
    def __init__(self, num_heads: int, d_model: int, scaling: float) -> None:
        super().__init__()
        self.prepare(num_heads, d_model)
        self.scaling = scaling

    def forward(self, x: Tensor) -> Tensor:
        return attend(self.maps, self.count, x, self.mix)

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ k.mT
        scores *= self.scaling
        return scores.softmax(-1) @ v


class ScalesItsInput(Plain):
    """What is scaled is no score: nothing is known of the number."""

    def __init__(self, num_heads: int, d_model: int, scale: float) -> None:
        super().__init__()
        self.prepare(num_heads, d_model)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * self.scale)


@pytest.mark.parametrize(
    ("target", "name", "role"),
    [
        (Configured, "scale", "score divisor"),
        (Multiplies, "scaling", "score factor"),
        (ScalesItsInput, "scale", None),
        (Multiplies, "d_model", None),
    ],
)
def test_what_the_source_does_with_it(target: type[nn.Module], name: str, role: str | None) -> None:
    assert score_scale(target, name) == role


def test_it_is_the_usual_one_in_every_size() -> None:
    found = adapter(Multiplies)
    assert [found.build(2, width).scaling for width in (8, 18)] == [1 / math.sqrt(4), 1 / math.sqrt(9)]
    assert "scaling=1 / sqrt(d_model / heads)" in words(found)


@pytest.mark.parametrize("name", ["Configured", "Multiplies"])
def test_a_right_module_fits_with_it(name: str) -> None:
    assert Fit().without_mask(understand(f"{__file__}:{name}"))


def test_a_bug_beside_it_is_judged_and_no_question() -> None:
    assert not Fit().without_mask(understand(f"{__file__}:KeysForValues"))


def test_a_scale_of_something_else_is_no_root() -> None:
    assert adapter(ScalesItsInput).build(2, 8).scale == 1
