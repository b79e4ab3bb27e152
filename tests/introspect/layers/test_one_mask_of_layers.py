"""The one mask of a layer or a model that is built of the attention of a file: it is handed on, and not turned."""

import sys
from pathlib import Path

import pytest

from mhsa.introspect.resolve import understand
from tests.introspect.layers.test_masks_of_layers import ATTENTION

MODEL = """

class Block(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        self.attention, self.norm = Attention(num_heads, d_model), nn.LayerNorm(d_model)

    def forward(self, x, allowed):
        return self.norm(x + self.attention(x, x, x, allowed))


class Model(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        self.blocks = nn.ModuleList([Block(num_heads, d_model) for _ in range(2)])

    def forward(self, x, mask=None):
        if mask is not None:
            mask = MADE
        for block in self.blocks:
            x = block(x, mask)
        return x
"""


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("mask.unsqueeze(1).repeat(1, mask.shape[1], 1)", ""),
        ("mask.unsqueeze(1) & mask.unsqueeze(2)", ""),
        ("mask.unsqueeze(2).repeat(1, 1, mask.shape[1])", "hands mask to blocks.0.attention with the axes of queries and keys"),
        ("None", "it hands mask to no attention: blocks.0.attention, which attends to x, is given no mask"),
    ],
)
def test_a_mask_of_keys_that_a_model_hands_on(tmp_path: Path, made: str, said: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(ATTENTION + MODEL.replace("MADE", made))
    subject = understand(str(path), ("float64",))
    assert said in subject.wrong_masks
    assert bool(subject.wrong_masks) == bool(said)
    assert "Model, but for which attention is given which mask" in subject.not_judged


ENCODER = """

class Encoder(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        self.attention, self.norm = Attention(num_heads, d_model), nn.LayerNorm(d_model)

    def forward(self, x, mask=None):
        CODE
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("return self.norm(x + self.attention(x, x, x, mask))", ""),
        (
            "return self.norm(x + self.attention(x, x, x))",
            "Encoder: it hands mask to no attention: attention, which",
        ),
        ("del mask  # unused\n        return self.norm(x + self.attention(x, x, x))", ""),
        ("return self.norm(x + self.attention(x, x, x)) * (1 if mask is None else mask.float().amax())", ""),
    ],
)
def test_the_one_mask_of_a_layer_goes_to_its_attention(tmp_path: Path, code: str, said: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(ATTENTION + ENCODER.replace("CODE", code))
    wrong = understand(str(path), ("float64",)).wrong_masks
    assert wrong.startswith(said)
    assert bool(wrong) == bool(said)


OTHER = """

class Other(nn.Module):
    called = 0

    def __init__(self, num_heads, d_model):
        super().__init__()

    def forward(self, x, y, mask=None):
        Other.called += 1
        raise RuntimeError
"""


def test_what_has_none_of_its_attentions_is_not_called(tmp_path: Path) -> None:
    """A file may have many classes of other kinds: to find out how each is called would take minutes."""
    (tmp_path / "model.py").write_text(ATTENTION + OTHER)
    subject = understand(f"{tmp_path / 'model.py'}:Attention")
    assert sys.modules[subject.adapter.owner.__module__].Other.called == 0
