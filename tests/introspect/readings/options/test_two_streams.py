"""Co-attention: two streams of tokens that attend to each other, with a mask of each; both directions are returned."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from mhsa.subject.forms.two_streams import mask_of_each


class Both(nn.Module):
    """Each stream attends to the other one, through maps of its own."""

    wrong = False

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_a, self.key_a, self.value_a = (nn.Linear(dim, dim) for _ in range(3))
        self.query_b, self.key_b, self.value_b = (nn.Linear(dim, dim) for _ in range(3))

    def mix(self, query: Tensor, key: Tensor, value: Tensor, hidden: Any = None) -> Tensor:
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (query, key, value))
        scores = q @ k.mT / q.size(-1) ** 0.5
        if hidden is not None:
            scores = scores + hidden[:, None, None]
        return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)

    def forward(self, seq_a, seq_b):  # type: ignore[no-untyped-def]
        second = self.value_a(seq_a) * (1.5 if self.wrong else 1.0)
        return (
            self.mix(self.query_a(seq_a), self.key_b(seq_b), self.value_b(seq_b)),
            self.mix(self.query_b(seq_b), self.key_a(seq_a), second),
        )


class BothWrongly(Both):
    wrong = True


class BothMasked(Both):
    """Adds masks that must be given; the first output is that of the second stream."""

    def forward(self, seq_a, mask_a, seq_b, mask_b, used=None):  # type: ignore[no-untyped-def]
        second = self.mix(self.query_b(seq_b), self.key_a(seq_a), self.value_a(seq_a), mask_a)
        return second, self.mix(self.query_a(seq_a), self.key_b(seq_b), self.value_b(seq_b), mask_b)


class OneMasked(Both):
    """Has two streams with masks, and attends in one direction alone."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__(dim, num_heads)
        del self.query_b, self.key_a, self.value_a

    def forward(self, seq_a, mask_a, seq_b, mask_b):  # type: ignore[no-untyped-def]
        hidden = torch.zeros_like(mask_b, dtype=seq_a.dtype).masked_fill(mask_b == 0, -1e9)
        return self.mix(self.query_a(seq_a), self.key_b(seq_b), self.value_b(seq_b), hidden) * mask_a[..., None].to(seq_a.dtype)


def test_one_direction_is_judged_and_the_other_compared() -> None:
    subject = understand(f"{__file__}:Both")
    assert dict(subject.notes)["call"] == "forward(seq_a=query, seq_b=key)"
    assert "the direction in which seq_b attends to seq_a" in subject.not_judged
    assert any("is exactly attention, too" in part.text for part in subject.understood)


def test_the_direction_that_is_wrong_is_judged() -> None:
    subject = understand(f"{__file__}:BothWrongly")
    assert dict(subject.notes)["call"] == "forward(seq_b=query, seq_a=key)"
    assert "the direction in which seq_a attends to seq_b" in subject.not_judged


def test_a_mask_is_that_of_the_stream_whose_name_it_has() -> None:
    with pytest.raises(Question, match="adds the mask to the scores") as asked:
        understand(f"{__file__}:BothMasked")
    assert asked.value.declaration["mask"] == "additive"


def test_two_streams_with_one_output_are_no_co_attention() -> None:
    subject = understand(f"{__file__}:OneMasked")
    assert dict(subject.notes)["call"].startswith("forward(seq_a=query, seq_b=key, mask_b=mask)")


@pytest.mark.parametrize(
    ("streams", "masks", "found"),
    [
        (("input_tensor1", "input_tensor2"), ("attention_mask1", "attention_mask2"), ("attention_mask1", "attention_mask2")),
        (("text", "image"), ("image_mask", "text_mask"), ("text_mask", "image_mask")),
        (("v", "l"), ("attention_mask_v", "attention_mask_l"), ("attention_mask_v", "attention_mask_l")),
        (("x", "y"), ("src_mask", "mask"), None),
    ],
)
def test_masks_are_told_apart_by_the_names_of_their_streams(streams: Any, masks: Any, found: Any) -> None:
    assert mask_of_each(streams, masks) == found
