"""Scores that are returned where weights are usual: a question, and judged by their softmax where that is declared."""

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject.returned import softmax_of_scores

TRIED = ("oracle.*", "masks.*", "dropout.*", "fully_masked_rows.*")


class ReturnsScores(nn.Module):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        parts = ((self.q, query), (self.k, key), (self.v, value))
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, x in parts)
        scores = q @ k.mT / q.size(-1) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, -1e9)
        weights = scores.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), self.returned(scores, weights)

    def returned(self, scores: Tensor, weights: Tensor) -> Tensor:
        return scores


class HeadsFirst(ReturnsScores):
    def returned(self, scores: Tensor, weights: Tensor) -> Tensor:
        return scores.transpose(0, 1)


class ReturnsWeights(ReturnsScores):
    def returned(self, scores: Tensor, weights: Tensor) -> Tensor:
        return weights


class ReturnsTwiceTheScores(ReturnsScores):
    def returned(self, scores: Tensor, weights: Tensor) -> Tensor:
        return 2 * scores


class ReturnsScoresOfOneQuery(ReturnsScores):
    def returned(self, scores: Tensor, weights: Tensor) -> Tensor:
        return scores[:, :, :1].expand_as(scores)


class OutputAlone(ReturnsScores):
    def forward(self, query, key, value, mask=None):  # type: ignore[no-untyped-def]
        return super().forward(query, key, value, mask)[0]


def of(kind: type[nn.Module]) -> str:
    return f"{__file__}:{kind.__name__}"


@pytest.mark.parametrize("kind", [ReturnsScores, HeadsFirst])
def test_scores_are_a_question(kind: type[nn.Module]) -> None:
    with pytest.raises(Question, match="returns the scores") as raised:
        understand(of(kind))
    assert raised.value.declaration == {"weights": "scores"}


def test_they_hold_as_declared() -> None:
    found = verify(of(ReturnsScores), dtypes="float64", properties=TRIED, contract={"weights": "scores"})
    assert found, str(found)


@pytest.mark.parametrize("kind", [ReturnsTwiceTheScores, ReturnsScoresOfOneQuery])
@pytest.mark.parametrize("contract", [{}, {"weights": "scores"}])
def test_what_is_neither_is_violated(kind: type[nn.Module], contract: dict[str, str]) -> None:
    found = verify(of(kind), dtypes="float64", properties="oracle.*", contract=contract)
    assert found.verdict == "violated"


def test_scores_are_violated_where_weights_are_declared() -> None:
    found = verify(of(ReturnsScores), dtypes="float64", properties="oracle.*", contract={"weights": "softmax"})
    assert found.verdict == "violated"


def test_weights_are_violated_where_scores_are_declared() -> None:
    assert understand(of(ReturnsWeights)).caller.weights_from == 1
    found = verify(of(ReturnsWeights), dtypes="float64", properties="oracle.*", contract={"weights": "scores"})
    assert found.verdict == "violated"


def test_a_declaration_that_applies_to_nothing_is_a_question() -> None:
    with pytest.raises(Question, match="applies to nothing"):
        understand(Request("it", of(OutputAlone), contract={"weights": "scores"}))


def test_a_row_without_any_key() -> None:
    scores = torch.tensor([[[[0.0, 0.0], [-torch.inf, -torch.inf]]]])
    for declared, must in (("zeros", 0.0), ("uniform", 0.5)):
        assert torch.equal(softmax_of_scores(scores, declared)[0, 0], torch.tensor([[0.5, 0.5], [must, must]]))  # type: ignore[arg-type]
    assert softmax_of_scores(scores, "finite")[0, 0, 1].isnan().all()
    assert softmax_of_scores("no tensor", "zeros") == "no tensor"
