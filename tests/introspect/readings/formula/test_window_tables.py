"""Biases of the offsets in a window: a question with the declaration; under it right modules hold, and wrong ones do not."""

from typing import Any

import pytest
import torch
from torch import nn

import mhsa
from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from mhsa.records.request import Request

DECLARED = {"bias": {"rule": "swin"}, "fully_masked_row": "nan", "reason": "a softmax of nothing", "indivisible": "any"}
FEW = ("oracle.*", "biases.*", "gradients.gradients_of_parameters", "copies.deep_copies")


class OfAWindow(nn.Module):
    """Self-attention in windows of rows x columns tokens."""

    def __init__(
        self, dim: int, window_size: tuple[int, int], num_heads: int, qkv_bias: bool = True, attn_drop: float = 0.0
    ) -> None:
        super().__init__()
        self.heads, self.factor = num_heads, (dim // num_heads) ** -0.5
        self.rows, self.columns = window_size
        offsets = (2 * self.rows - 1) * (2 * self.columns - 1)
        self.relative_position_bias_table = nn.Parameter(0.02 * torch.randn(offsets, num_heads))
        self.register_buffer("relative_position_index", self.index())
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=qkv_bias), nn.Linear(dim, dim)
        self.drop = nn.Dropout(attn_drop)

    def offsets(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return by how much each query is below, and to the right of, each key."""
        at = torch.arange(self.rows * self.columns)
        row, column = at // self.columns, at % self.columns
        return row[:, None] - row, column[:, None] - column

    def index(self) -> torch.Tensor:
        down, across = self.offsets()
        return (down + self.rows - 1) * (2 * self.columns - 1) + across + self.columns - 1

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """x: [windows, tokens, channels]; mask: [windows, tokens, tokens], 0 or -inf, added to the scores."""
        n = x.size(1)
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        s = q * self.factor @ k.mT + self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        if mask is not None:
            of = mask.size(0)
            s = (s.view(-1, of, self.heads, n, n) + mask[:, None]).view(-1, self.heads, n, n)
        return self.proj((self.drop(s.softmax(-1)) @ v).transpose(1, 2).flatten(2))


class OfAnEmbedding(OfAWindow):
    """The table is that of an embedding."""

    def __init__(self, dim: int, num_heads: int, window_size: tuple[int, int]) -> None:
        rows, columns = window_size
        super().__init__(dim, (rows, columns), num_heads)
        del self.relative_position_bias_table
        self.relative_bias = nn.Embedding((2 * rows - 1) * (2 * columns - 1), num_heads)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        s = q * self.factor @ k.mT + self.relative_bias(self.relative_position_index).permute(2, 0, 1)
        return self.proj((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class AcrossFirst(OfAWindow):
    def index(self) -> torch.Tensor:
        down, across = self.offsets()
        return (across + self.columns - 1) * (2 * self.rows - 1) + down + self.rows - 1


class RowsForColumns(OfAWindow):
    def index(self) -> torch.Tensor:
        down, across = self.offsets()
        most = (2 * self.rows - 1) * (2 * self.columns - 1) - 1
        return ((down + self.rows - 1) * (2 * self.rows - 1) + across + self.columns - 1).clamp(max=most)


class KeyMinusQuery(OfAWindow):
    def index(self) -> torch.Tensor:
        return super().index().mT.contiguous()


class OneTooFar(OfAWindow):
    def index(self) -> torch.Tensor:
        return (super().index() + 1).clamp(max=(2 * self.rows - 1) * (2 * self.columns - 1) - 1)


class HeadsTurned(OfAWindow):
    """Each head has the biases of the one before."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        s = q * self.factor @ k.mT + self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1).roll(1, 0)
        return self.proj((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class WithoutATable(OfAWindow):
    """There is an index, and nothing that it is of."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(((q * self.factor @ k.mT).softmax(-1) @ v).transpose(1, 2).flatten(2))


def judged(name: str, properties: Any = FEW, **contract: Any) -> Any:
    return mhsa.verify(f"{__file__}:{name}", dtypes="float64", properties=properties, contract=contract)


@pytest.mark.parametrize("name", ["OfAWindow", "OfAnEmbedding"])
def test_a_right_one_is_a_question_that_names_the_rule(name: str) -> None:
    with pytest.raises(Question, match="a learned bias of the offset, down and across") as caught:
        understand(f"{__file__}:{name}", dtypes=("float64",))
    assert caught.value.declaration["bias"] == {"rule": "swin"}
    assert "exactly right" in str(caught.value)
    assert "not exactly" not in str(caught.value)


@pytest.mark.parametrize("name", ["OfAWindow", "OfAnEmbedding"])
def test_a_right_one_holds_under_it(name: str) -> None:
    masked = {n: v for n, v in DECLARED.items() if name == "OfAWindow" or n in ("bias", "indivisible")}
    found = judged(name, **masked)
    assert found.verdict == "holds", str(found)


def test_what_is_built_in_a_call_under_inference_mode_can_be_trained() -> None:
    tried = ("modes.gradients_after_calls_without_them",)
    assert judged("OfAnEmbedding", tried, bias={"rule": "swin"}, after_inference="trains").verdict == "holds"


def test_the_reading_is_told() -> None:
    subject = understand(Request("a", f"{__file__}:OfAWindow", contract=DECLARED, dtypes=("float64",)))
    assert any("built for the window of each call: window_size" in part.text for part in subject.understood)
    assert not any("1026" in part.text for part in subject.understood)


@pytest.mark.parametrize("name", ["AcrossFirst", "RowsForColumns", "KeyMinusQuery", "OneTooFar", "HeadsTurned"])
def test_a_wrong_one_is_a_question_without_that_claim(name: str) -> None:
    with pytest.raises(Question, match="not exactly right if so, either") as caught:
        understand(f"{__file__}:{name}", dtypes=("float64",))
    assert caught.value.declaration["bias"] == {"rule": "swin"}


@pytest.mark.parametrize("name", ["AcrossFirst", "RowsForColumns", "KeyMinusQuery", "OneTooFar", "HeadsTurned"])
def test_a_wrong_one_is_violated_under_it(name: str) -> None:
    assert judged(name, ("oracle.output_without_mask",), **DECLARED).verdict == "violated"


def test_a_module_that_takes_any_length_is_not_built_for_windows() -> None:
    subject = understand(f"{__file__}:WithoutATable", dtypes=("float64",))
    assert not any("built for the window" in part.text for part in subject.understood)
