"""Parts that are called after the attention whose steps they are: none of them is the attention."""

import pytest
import torch
from torch import Tensor, nn

from mhsa.introspect.readings.fit import fits
from mhsa.introspect.resolve import understand
from mhsa.introspect.surroundings.find_surroundings import is_called_attention


class MultiHeadQKVProjection(nn.Module):
    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query, self.key, self.value = (nn.Linear(d_model, d_model) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))


class MultiHeadOutputProjection(nn.Module):
    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.output = nn.Linear(d_model, d_model)

    def forward(self, z: Tensor) -> Tensor:
        return self.output(z.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class SelfAttentionInSteps(nn.Module):
    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        assert d_model % num_heads == 0
        self.norm = nn.LayerNorm(d_model)
        self.qkv_projection = MultiHeadQKVProjection(d_model, num_heads)
        self.output_projection = MultiHeadOutputProjection(d_model)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv_projection(self.norm(x))
        weights = torch.softmax(q @ k.mT / q.size(-1) ** 0.5, dim=-1)
        return x + self.output_projection(weights @ v)  # type: ignore[no-any-return]


class MappedAgain(nn.Module):
    """Torch's own module has an out projection, and another linear layer follows."""

    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(d_model, num_heads, batch_first=True)
        self.c_proj, self.dropout = nn.Linear(d_model, d_model), nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(self.attn(x, x, x)[0]))  # type: ignore[no-any-return]


def test_a_linear_layer_after_a_whole_attention_is_left_out() -> None:
    subject = understand(f"{__file__}:MappedAgain")
    assert fits(subject)
    assert "linear layer after the attention" in subject.not_judged


def test_the_whole_is_judged() -> None:
    subject = understand(f"{__file__}:SelfAttentionInSteps")
    assert fits(subject)
    assert "query from qkv_projection.query.weight" in str(subject.notes)


@pytest.mark.parametrize(
    ("path", "is_one"),
    [("attn", True), ("self_attention", True), ("mha", True), ("attn_proj", False), ("attention_output", False),
     ("attn_norm", False), ("attn_dropout", False), ("norm", False)],
)  # fmt: skip
def test_names(path: str, is_one: bool) -> None:
    assert is_called_attention(f"layer.{path}", nn.Identity()) == is_one
    assert is_called_attention(f"layer.{path}", nn.MultiheadAttention(4, 2))


def test_a_map_of_queries_is_none_whatever_its_class_is_called() -> None:
    assert not is_called_attention("layer.query", nn.MultiheadAttention(4, 2))


class HeadsForAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.linear, self.heads = nn.Linear(width, width), heads

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)


class OfPreparedMaps(nn.Module):
    def __init__(self, heads: int, d_model: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (HeadsForAttention(d_model, heads) for _ in range(3))
        self.output = nn.Linear(d_model, d_model)

    def forward(self, *, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        heads = nn.functional.scaled_dot_product_attention(self.query(query), self.key(key), self.value(value))
        return self.output(heads.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def test_maps_whose_class_is_called_an_attention_are_the_maps_of_one() -> None:
    assert fits(understand(f"{__file__}:OfPreparedMaps"))
