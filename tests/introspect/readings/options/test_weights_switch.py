"""A switch of the constructor that has the weights returned is turned on, so that they are judged."""

from pathlib import Path

import pytest

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from tests.helpers.model_file import model_file

MODELS = """
from torch import nn


class Shown(nn.Module):
    def __init__(self, num_heads, d_model, vis):
        super().__init__()
        assert d_model % num_heads == 0
        self.vis, self.num_heads = vis, num_heads
        self.query, self.key, self.value, self.out = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        scores = q @ k.mT / q.size(-1) ** 0.5
        weights = scores.softmax(-1)
        return self.out((weights @ v).transpose(1, 2).flatten(2)), self.shown(scores, weights) if self.vis else None

    def shown(self, scores, weights):
        return weights


class ShowsScores(Shown):
    def shown(self, scores, weights):
        return scores


class ShowsTwice(Shown):
    def shown(self, scores, weights):
        return 2 * weights


class ByDefault(Shown):
    def __init__(self, num_heads, d_model, return_attention=False):
        super().__init__(num_heads, d_model, return_attention)


class Raises(ByDefault):
    def shown(self, scores, weights):
        raise NotImplementedError
"""
file = model_file(MODELS)


@pytest.mark.parametrize(("name", "switch"), [("Shown", "vis"), ("ByDefault", "return_attention")])
def test_it_is_turned_on_and_named(file: Path, name: str, switch: str) -> None:
    subject = understand(f"{file}:{name}", ("float64",))
    assert subject.caller.weights_from == 1
    assert f"{switch} is on, so that the weights are returned" in [each.text for each in subject.understood]
    assert f"constructor argument {switch} that is off" in subject.not_judged


def test_wrong_weights_are_violated(file: Path) -> None:
    assert verify(f"{file}:ShowsTwice", dtypes="float64", properties="weights.*").verdict == "violated"


def test_scores_in_their_place_are_a_question(file: Path) -> None:
    with pytest.raises(Question) as raised:
        understand(f"{file}:ShowsScores", ("float64",))
    assert raised.value.declaration == {"weights": "scores"}
    meant = {"weights": "softmax"}
    assert verify(f"{file}:ShowsScores", dtypes="float64", properties="weights.*", contract=meant).verdict == "violated"


def test_one_with_which_it_cannot_be_called_is_left_off(file: Path) -> None:
    assert understand(f"{file}:Raises", ("float64",)).caller.weights_from is None
