"""What is said to be a log-sum-exp is held to that."""

import torch
from torch import Tensor

from mhsa.introspect.questions import load_under
from mhsa.judge.verification import verify
from mhsa.records.request import Request


def _attended(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    scores = q @ k.mT / q.size(-1) ** 0.5
    return scores.softmax(-1) @ v, scores


def attention_with_lse(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Attend; the sum lacks the largest score, which was taken off."""
    output, scores = _attended(q, k, v)
    return output, (scores - scores.amax(-1, keepdim=True)).exp().sum(-1).log()


def attention_and_largest(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Attend; return the largest score of each query, too."""
    output, scores = _attended(q, k, v)
    return output, scores.amax(-1)


def attention_and_sum(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Attend; return the log-sum-exp of each query's scores, too."""
    output, scores = _attended(q, k, v)
    return output, torch.logsumexp(scores, -1)


def test_one_that_is_none_is_asked_about_and_violated_as_declared() -> None:
    spec = f"{__file__}:attention_with_lse"
    loaded = load_under(Request("a", spec))
    assert loaded.question is not None
    assert "number 2 has one for each sample, head and query, which is none" in str(loaded.question)
    assert loaded.question.declaration == {"lse": "natural"}
    assert verify(spec, contract={"lse": "natural"}, properties="lse.*").verdict == "violated"


def test_one_that_is_right_and_what_is_called_otherwise_are_not_asked_about() -> None:
    right = load_under(Request("a", f"{__file__}:attention_and_sum"))
    assert right.question is None
    assert right.subject.contract.lse == "natural"  # type: ignore[union-attr]
    assert load_under(Request("a", f"{__file__}:attention_and_largest")).question is None
