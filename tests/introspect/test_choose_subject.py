"""Which object of a file is the subject."""

from pathlib import Path

import pytest

from mhsa.commands.cli import main
from mhsa.introspect.load import chosen, load
from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question, SubjectError
from mhsa.records.request import Request

CORE = """
import torch
from torch import nn
class ScaledDotProductAttention(nn.Module):
    def forward(self, q, k, v, mask=None):
        return torch.softmax(q @ k.transpose(-1, -2), -1) @ v
class PositionalEncoding(nn.Module):
    def __init__(self, heads, dim): super().__init__()
    def forward(self, x): return x
"""
MULTI = """
class MultiHeadAttention(nn.Module):
    def __init__(self, heads, dim):
        super().__init__()
        self.core = ScaledDotProductAttention()
    def forward(self, q, k, v, mask=None): return self.core(q, k, v, mask)
"""
LAYER = """
class EncoderLayer(nn.Module):
    def __init__(self, heads, dim):
        super().__init__()
        self.attention = MultiHeadAttention(heads, dim)
    def forward(self, x): return self.attention(x, x, x)
"""
OTHER = "class CrossAttention(MultiHeadAttention): pass\n"


@pytest.mark.parametrize("source", [CORE + MULTI, CORE + MULTI + LAYER])
def test_the_attention_that_contains_the_others_is_the_subject(tmp_path: Path, source: str) -> None:
    file = tmp_path / "several.py"
    file.write_text(source)
    assert load(str(file)).__name__ == "MultiHeadAttention"


def test_what_is_built_of_the_subject_is_named_as_not_judged(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(CORE + MULTI + LAYER)
    assert chosen(Request("m", str(tmp_path / "m.py"))).around == ("EncoderLayer",)
    (tmp_path / "n.py").write_text(CORE + MULTI)
    assert chosen(Request("n", str(tmp_path / "n.py"))).around == ()


def test_two_attentions_are_a_question_with_what_to_type(tmp_path: Path) -> None:
    file = tmp_path / "two.py"
    file.write_text(CORE + MULTI + OTHER)
    with pytest.raises(Question, match=f"name one of {file}:MultiHeadAttention, {file}:CrossAttention"):
        load(str(file))


def test_what_was_taken_and_what_else_there_is_are_said(tmp_path: Path) -> None:
    file = tmp_path / "several.py"
    file.write_text(CORE + MULTI + LAYER)
    choice = chosen(Request("it", str(file)))
    (understood,) = choice.understood
    assert understood.part == "subject"
    assert understood.text == f"MultiHeadAttention; the file also has {file}:ScaledDotProductAttention"


MASKS = """
def attention_mask(query, key): return (query[:, :, None] != 0) & (key[:, None] != 0)
class AttentionMask: pass
class FeedForward(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
    def forward(self, x): return x
"""


def test_makers_of_masks_and_other_parts_are_not_the_subject(tmp_path: Path) -> None:
    file = tmp_path / "parts.py"
    file.write_text(CORE + MULTI + MASKS)
    assert load(str(file)).__name__ == "MultiHeadAttention"
    file = tmp_path / "no_attention.py"
    file.write_text("from torch import nn\n" + MASKS)
    with pytest.raises(SubjectError, match="defines no attention-like"):
        load(str(file))


def test_probe_asks_which_of_several_candidates_is_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "two.py"
    file.write_text(CORE + MULTI + OTHER)
    assert main(["probe", str(file)]) == 2
    assert f"{file}:CrossAttention" in "".join(capsys.readouterr().out.split())


PACKED_CORES = """
class PackedAttention(nn.Module):
    def __init__(self, n_heads):
        super().__init__()
    def forward(self, qkv): return torch.softmax(qkv, -1)
class OtherPackedAttention(PackedAttention):
    def forward(self, qkv): return torch.softmax(qkv, -1)
class AttentionBlock(nn.Module):
    def __init__(self, channels, num_heads=1, other=False):
        super().__init__()
        self.qkv, self.proj = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.attention = OtherPackedAttention(num_heads) if other else PackedAttention(num_heads)
    def forward(self, x): return x + self.proj(self.attention(self.qkv(x)))
"""


def test_what_has_the_maps_is_the_subject_and_no_core_of_it(tmp_path: Path) -> None:
    file = tmp_path / "block.py"
    file.write_text("import torch\nfrom torch import nn\n" + PACKED_CORES)
    assert load(str(file)).__name__ == "AttentionBlock"


def test_a_class_that_inherits_from_another_one_and_calls_it_is_the_subject(tmp_path: Path) -> None:
    file = tmp_path / "inherits.py"
    own = "class CrossAttention(MultiHeadAttention):\n    def forward(self, x, y): return super().forward(x, y, y)\n"
    file.write_text(CORE + MULTI + own)
    assert chosen(Request.of(str(file))).target.__name__ == "CrossAttention"
    file = tmp_path / "both.py"
    file.write_text(CORE + MULTI + own + own.replace("CrossAttention", "SelfAttention"))
    with pytest.raises(Question, match=r"CrossAttention, .*SelfAttention"):
        chosen(Request.of(str(file)))


HELPERS = """
import torch
from torch import nn
def softmax(x): return torch.softmax(x, -1)
def make_layer(dim, num_heads): return nn.Linear(dim, dim)
class Rotary(nn.Module):
    def __init__(self, dim, num_heads): super().__init__()
    def forward(self, x): return x
def first_key(q, k, v): return v[..., :1, :]
def dot_product_attention(q, k, v): return softmax(q @ k.mT / q.size(-1) ** 0.5) @ v
def compare(q, k, v): return dot_product_attention(q, k, v) - first_key(q, k, v)
"""


def test_a_function_that_computes_attention_is_chosen_among_helpers(tmp_path: Path) -> None:
    file = tmp_path / "functions.py"
    file.write_text(HELPERS)
    assert load(str(file)).__name__ == "dot_product_attention"
    file = tmp_path / "layer.py"
    layer = "class Layer(Rotary):\n    def forward(self, x): return dot_product_attention(x, x, x)\n"
    file.write_text(HELPERS + layer)
    assert load(str(file)).__name__ == "Layer"


def test_what_calls_the_function_that_is_judged_is_named_as_not_judged(tmp_path: Path) -> None:
    """The verdict on a core says nothing of the function around it, which mhsa cannot call."""
    (tmp_path / "parts.py").write_text(
        "import math\nimport torch\n"
        "def attention(q, k, v):\n    return torch.softmax(q @ k.mT / math.sqrt(q.size(-1)), -1) @ v\n"
        "def with_maps(maps, x):\n    return maps['out'](attention(*(maps[n](x) for n in 'qkv')))\n"
        "def unrelated(x):\n    return x\n"
    )
    spec = str(tmp_path / "parts.py")
    assert chosen(Request.of(spec)).callers == ("with_maps",)
    assert "function with_maps, which calls it" in understand(spec).not_judged
    assert understand(f"{spec}:attention").not_judged == ()
