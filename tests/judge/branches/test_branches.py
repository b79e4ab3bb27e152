"""Branches that no usual call takes: what torch is asked, and flags of a built module; right ones are left alone."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.utils.checkpoint import checkpoint

from mhsa.judge.branches.asked_of_torch import answered_otherwise, questions_of
from mhsa.judge.branches.chosen_ways import other_ways
from mhsa.judge.branches.own_code import own_functions
from mhsa.judge.verification import Verification, verify
from mhsa.subject.trial import Trial
from tests.helpers.layers import Layers

USE_SDPA = False
ASKED, WAYS = "branches.what_it_asks_of_torch_changes_nothing", "branches.every_way_computes_the_same"


class Hiding(Layers):
    """mask: True where a query may not attend."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Any:
        return self.attend(query, key, value, mask)


class ForgetsInCompilers(Hiding):
    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Any:
        return self.attend(query, key, value, None if is_compiling() else mask)


def forgotten(mask: Tensor | None) -> Tensor | None:
    return None if torch.onnx.is_in_onnx_export() else mask


class ForgetsInAHelper(Hiding):
    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Any:
        return self.attend(query, key, value, forgotten(mask))


class TheSameInCompilers(Hiding):
    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Any:
        if torch.compiler.is_compiling() and mask is not None:
            mask = mask.logical_not().logical_not()
        if torch.jit.is_tracing():
            raise RuntimeError("it cannot be traced")
        return self.attend(query, key, value, mask)


class AsksNever(Hiding):
    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Any:
        return self.attend(query, key, value, mask)

    def sizes(self) -> Any:
        return None if torch.compiler.is_compiling() else self.num_heads


class WithFlag(Hiding):
    use_flash: bool

    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.use_flash, self.attn_implementation, self.chunked, self.flash_causal = False, "eager", False, False

    def other(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Any:
        return self.attend(query, key, value, mask)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Any:
        if self.use_flash or self.attn_implementation == "sdpa":
            return self.other(query, key, value, mask)
        if self.attn_implementation == "linear" or self.chunked or self.flash_causal:
            return query
        return self.attend(query, key, value, mask)


class ForgetsTheMask(WithFlag):
    def other(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Any:
        return self.attend(query, key, value)


class OfCoarserNumbers(WithFlag):
    def other(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Any:
        return self.attend(query, key, value, mask).half().to(query.dtype)


class OfCoarserNumbersAndTooLarge(WithFlag):
    def other(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Any:
        return (1.5 * self.attend(query, key, value, mask)).half().to(query.dtype)


class NotThere(WithFlag):
    def other(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Any:
        from flash_attn_that_is_not_there import attend  # type: ignore[import-not-found]

        return attend(query, key, value, mask)


class OfItsFile(Hiding):
    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Any:
        return self.attend(query, key, value, None if USE_SDPA else mask)


class Checkpointed(Hiding):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.gradient_checkpointing = False

    def again(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Any:
        return checkpoint(self.attend, query, key, value, mask, use_reentrant=False)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Any:
        if self.gradient_checkpointing and self.training:
            return self.again(query, key, value, mask)
        return self.attend(query, key, value, mask)


class CheckpointOfTheQuery(Checkpointed):
    def again(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Any:
        return checkpoint(self.attend, query, key.detach(), value, mask, use_reentrant=False)


def judged(kind: type[nn.Module], identity: str) -> Verification:
    return verify(f"{__file__}:{kind.__name__}", profile="quick", dtypes="float64", properties=identity)


@pytest.mark.parametrize(
    ("kind", "identity", "words"),
    [
        (ForgetsInCompilers, ASKED, "torch.compiler.is_compiling() is answered the other way"),
        (ForgetsInAHelper, ASKED, "torch.onnx.is_in_onnx_export() is answered the other way"),
        (ForgetsTheMask, WAYS, "with attn_implementation = 'sdpa'"),
        (OfCoarserNumbersAndTooLarge, WAYS, "with use_flash = True"),
        (OfItsFile, WAYS, "with USE_SDPA = True"),
        (CheckpointOfTheQuery, WAYS, "gradient of key with gradient_checkpointing = True, in train mode"),
    ],
)
def test_a_branch_that_computes_something_else_is_wrong(kind: type[nn.Module], identity: str, words: str) -> None:
    found = judged(kind, identity)
    assert found.verdict == "violated"
    (failure,) = found.failures
    assert words in failure.reason or "use_flash = True" in failure.reason


@pytest.mark.parametrize(
    ("kind", "identity"),
    [(TheSameInCompilers, ASKED), (WithFlag, WAYS), (OfCoarserNumbers, WAYS), (Checkpointed, WAYS)],
)
def test_a_branch_that_computes_the_same_holds(kind: type[nn.Module], identity: str) -> None:
    assert judged(kind, identity).verdict == "holds"


@pytest.mark.parametrize(("kind", "identity"), [(Hiding, ASKED), (AsksNever, ASKED), (Hiding, WAYS), (NotThere, WAYS)])
def test_where_there_is_no_branch_nothing_is_judged(kind: type[nn.Module], identity: str) -> None:
    (found,) = judged(kind, identity).properties
    assert found.outcome == "not-applicable"


def test_flags_are_those_of_ways_and_are_put_back() -> None:
    trial: Any = object.__new__(Trial)
    trial.module, trial.subject = WithFlag(2, 8), type("S", (), {"adapter": None})
    ways = {way.words: way for way in other_ways(trial)}
    assert set(ways) == {"use_flash = True", "attn_implementation = 'sdpa'"}
    with ways["use_flash = True"].taken():
        assert trial.module.use_flash is True
    assert trial.module.use_flash is False


def test_an_answer_is_another_one_for_other_code_than_torch_alone() -> None:
    trial: Any = object.__new__(Trial)
    trial.module, trial.subject = ForgetsInCompilers(2, 8), type("S", (), {"adapter": None})
    functions = own_functions(trial)
    assert "torch.compiler.is_compiling" in questions_of(functions)
    with answered_otherwise("torch.compiler.is_compiling", functions) as asked:
        assert is_compiling() is True
        assert torch.compiler.is_compiling() is True
        assert asked.times == 2
    assert is_compiling() is False
    assert torch.compiler.is_compiling() is False
