"""Weights of one head, or averaged over heads, are named as what they are; under a mask they must be the same."""

from typing import Any

import pytest

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from tests.helpers.layers import Layers


class OfAPart(Layers):
    def part(self, weights, scores):
        return weights[:, 0]

    def forward(self, query, key, value, mask=None):
        q, k, v = (
            f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        scores = q @ k.mT * self.scale
        hidden = scores if mask is None else scores.masked_fill(~mask[:, None], -1e9)
        weights = hidden.softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), self.part(weights, scores)


class Mean(OfAPart):
    def part(self, weights, scores):
        return weights.mean(1)


class Sum(OfAPart):
    def part(self, weights, scores):
        return weights.sum(1)


class LastHead(OfAPart):
    def part(self, weights, scores):
        return weights[:, -1]


class Largest(OfAPart):
    def part(self, weights, scores):
        return weights.amax(1)


class FirstHeadWithoutItsMask(OfAPart):
    def part(self, weights, scores):
        return scores.softmax(-1)[:, 0]


class MeanOfWhatIsNotMasked(OfAPart):
    def part(self, weights, scores):
        return scores.softmax(-1).mean(1)


class MeanOverSamplesToo(OfAPart):
    def part(self, weights, scores):
        return weights.mean((0, 1)).expand(weights.size(0), -1, -1)


class FirstHeadOfSeveralSamples(OfAPart):
    def part(self, weights, scores):
        return weights.mean(1) if weights.size(0) == 1 else weights[:, 0]


class MeanWithAScaledGradient(OfAPart):
    def part(self, weights, scores):
        mean = weights.mean(1)
        return mean.detach() + (mean - mean.detach()) / 2


class MeanOfDetachedScores(OfAPart):
    def part(self, weights, scores):
        return weights.detach().mean(1) + 0 * scores.mean(1)


class MeanDetached(OfAPart):
    def part(self, weights, scores):
        return weights.mean(1).detach()


class MeanOfOneSampleIsSqueezed(OfAPart):
    def part(self, weights, scores):
        return weights.mean(1).squeeze(0)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (OfAPart, ", those of the first head"),
        (LastHead, ", those of the last head"),
        (Mean, ", the mean over heads"),
        (MeanDetached, ", the mean over heads"),
        (MeanOfOneSampleIsSqueezed, ", the mean over heads"),
        (Sum, ", the sum over heads"),
        (Largest, ""),
    ],
)
def test_they_are_named(module: Any, words: str) -> None:
    subject = understand(f"{__file__}:{module.__name__}", ("float64",))
    assert f"weights returned: shape [B, Tq, Tk]{words}" in subject.not_judged
    assert subject.wrong_weights == ""


@pytest.mark.parametrize(
    ("wrong", "words"), [(FirstHeadWithoutItsMask, "those of the first head"), (MeanOfWhatIsNotMasked, "the mean over heads")]
)
def test_a_mask_that_they_forget_is_violated(wrong: Any, words: str) -> None:
    found = verify(f"{__file__}:{wrong.__name__}", dtypes="float64", properties="oracle.returned_weights")
    assert found.verdict == "violated"
    assert f"without a mask they are {words}, and under one they are not" in str(found)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (MeanOverSamplesToo, "in a batch of one sample they are the mean over heads, and in a larger batch they are not"),
        (
            FirstHeadOfSeveralSamples,
            "in a batch of one sample they are the mean over heads, and in a larger batch those of the",
        ),
        (MeanWithAScaledGradient, "they are the mean over heads, and the gradient of query through them is not"),
        (MeanOfDetachedScores, "they are the mean over heads, and the gradient of query through them is not"),
    ],
)
def test_batches_and_gradients_of_them(wrong: Any, words: str) -> None:
    assert words in understand(f"{__file__}:{wrong.__name__}", ("float64",)).wrong_weights
