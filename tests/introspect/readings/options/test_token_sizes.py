"""Sizes that a call is given: rows and columns, (H, W), frames; the number of tokens is their product."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from mhsa.subject.forms.token_sizes import NUMBER, entries
from tests.subject.constructed import Plain


class OfAPicture(Plain):
    def __init__(self, num_heads: int, dim: int) -> None:
        super().__init__()
        self.prepare(num_heads, dim)

    def forward(self, x, thw_shape):  # type: ignore[no-untyped-def]
        frames, rows, columns = thw_shape
        return super().forward(x.reshape(x.size(0), frames, rows, columns, -1).flatten(1, 3))


class HandingOn(OfAPicture):
    def forward(self, x, nh, nw):  # type: ignore[no-untyped-def]
        return Plain.forward(self, self.laid(x, nh, nw).flatten(1, 2))

    def laid(self, x: Tensor, rows: int, columns: int) -> Tensor:
        return x.unflatten(1, (rows, columns))


class WithinFrames(OfAPicture):
    def forward(self, x, num_frames):  # type: ignore[no-untyped-def]
        each = x.reshape(-1, x.size(1) // num_frames, x.size(2))
        return Plain.forward(self, each).reshape(x.shape)


class BetweenFrames(OfAPicture):
    def forward(self, x, frames):  # type: ignore[no-untyped-def]
        each = x.unflatten(1, (frames, -1)).transpose(1, 2)
        return Plain.forward(self, each.flatten(0, 1)).unflatten(0, each.shape[:2]).transpose(1, 2).flatten(1, 2)


class Optional(OfAPicture):
    def forward(self, x, hw=None):  # type: ignore[no-untyped-def]
        rows, columns = hw
        return Plain.forward(self, x.reshape(x.size(0), rows * columns, -1))


class WithinColumns(OfAPicture):
    def forward(self, x, H, W):  # type: ignore[no-untyped-def]
        each = x.unflatten(1, (H, W)).transpose(1, 2)
        return Plain.forward(self, each.flatten(0, 1)).unflatten(0, each.shape[:2]).transpose(1, 2).flatten(1, 2)


class WithinWindows(OfAPicture):
    def __init__(self, num_heads: int, dim: int, window_size: int | None = 2) -> None:
        super().__init__(num_heads, dim)
        self.window = window_size

    def forward(self, x, H, W):  # type: ignore[no-untyped-def]
        if self.window is None:
            return Plain.forward(self, x)
        each = torch.nn.functional.pad(x, (0, 0, 0, -H * W % self.window))
        return Plain.forward(self, each.reshape(-1, self.window, x.size(2))).reshape(each.shape)[:, : H * W]


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("OfAPicture", "forward(x=query, thw_shape=(1, 1, T))"),
        ("HandingOn", "forward(x=query, nh=1, nw=T)"),
        ("WithinFrames", "forward(x=query, num_frames=1)"),
        ("BetweenFrames", "forward(x=query, frames=T)"),
        ("Optional", "forward(x=query, hw=(1, T))"),
    ],
)
def test_the_product_of_sizes_is_the_number_of_tokens(name: str, call: str) -> None:
    assert dict(understand(f"{__file__}:{name}").notes)["call"] == call


@pytest.mark.parametrize(
    ("name", "words"),
    [("WithinColumns", "with H=T, W=1 it is exactly"), ("WithinWindows", r"windows of a picture \(window_size=2")],
)
def test_attention_to_some_of_the_tokens_is_a_question(name: str, words: str) -> None:
    with pytest.raises(Question, match=words):
        understand(f"{__file__}:{name}")


def _several(x: Any, y: Any, z: Any, kv: Any, shape: Any, n: Any, layer: Any, table: Any) -> Any:
    k, v = kv
    y = y * table[0] + y.flip(-1) * table[1]
    k, v = k.flatten(1), v.flatten(1)
    z, _ = torch.chunk(z, 2), z // 2
    return layer(y), k, v, x.view(-1, shape[0], shape[1]), x.chunk(n)


def test_tensors_are_no_sizes() -> None:
    names = ("y", "z", "kv", "layer", "table", "shape", "n")
    assert [entries(_several, name) for name in names] == [None, None, None, None, None, 2, NUMBER]
