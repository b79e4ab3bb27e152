"""Required arguments of forward that mean nothing to attention."""

from typing import Any

import pytest
import torch
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.subject.signature import read_signature


class OfPictures(nn.Module):
    """Attention that is given the size of the picture whose pixels are its tokens."""

    def __init__(self, num_heads: int, dim: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x: torch.Tensor, H: int, W: int) -> torch.Tensor:
        if x.size(1) != H * W:
            raise ValueError("must have H * W tokens")
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        output: torch.Tensor = self.o(((q @ k.mT / q.size(-1) ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))
        return output


def test_the_size_of_a_picture_is_given_and_said() -> None:
    notes = dict(understand(f"{__file__}:OfPictures").notes)
    assert notes["call"] == "forward(x=query, H=1, W=T)"


def _kept(query: Any, key: Any, value: Any, layer_past: Any, mask: Any = None) -> None: ...
def _none(query: Any, key: Any, value: Any, bias: torch.Tensor | None, mask: Any = None) -> None: ...
def _shape(x: Any, hw_shape: Any) -> None: ...
def _switch(query: Any, key: Any, value: Any, mask: Any, training: bool) -> None: ...
def _height(x: Any, h: Any) -> None: ...
def _positions(query: Any, key: Any, value: Any, pos: Any, mask: Any = None) -> None: ...


@pytest.mark.parametrize(
    ("forward", "given"),
    [
        (_kept, {"layer_past": None}),
        (_none, {"bias": None}),
        (_shape, {"hw_shape": (1, 3)}),
        (_switch, {"training": False}),
        (_height, {}),
    ],
)
def test_what_a_call_needs_beside_its_tensors(forward: Any, given: dict[str, Any]) -> None:
    x = torch.zeros(2, 3, 4)
    signature = read_signature(forward, "it", method=False)
    bound = signature.bind(x, x, x, None, False)
    assert {name: bound[name] for name in signature.more} == given


def test_positions_are_asked_about_unless_none_will_do() -> None:
    signature = read_signature(_positions, "it", method=False)
    assert "needs pos, and mhsa does not know what to give" in signature.asks
    assert signature.more["pos"].words == "None"
