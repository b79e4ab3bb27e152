"""Classes of a file that are built of its attention: as layers they are read, too, and what is pinned of one is no charge."""

from pathlib import Path

import pytest
import torch
from torch import nn

from mhsa.introspect.layers.layer_formula import layer_formula
from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from mhsa.records.request import Request
from tests.helpers.model_file import SELF_ATTENTION

RESIDUALS = "layers.residuals_are_in_their_places"
PRE_NORM = "a = x + attention(norm(x)); a + feed_forward(norm(a))"
FILE = (
    SELF_ATTENTION
    + """
class Block(nn.Module):
    def __init__(self, num_heads, d_model, expansion):
        super().__init__()
        self.attention, self.norm1, self.norm2 = SelfAttention(num_heads, d_model), nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.mlp = nn.Sequential(nn.Linear(d_model, expansion * d_model), nn.GELU(), nn.Linear(expansion * d_model, d_model))

    def forward(self, x):
        BODY
"""
)
BODIES = {
    "usual": "x = x + self.attention(self.norm1(x)); return x + self.mlp(self.norm2(x))",
    "mistake": "y = self.attention(self.norm1(x)); x = x + y; return y + self.mlp(self.norm2(x))",
    "in place": "x += self.attention(self.norm1(x)); return x + self.mlp(self.norm2(x))",
    "unusual": "x = self.norm1(x); x = x + self.attention(x); return x + self.mlp(self.norm2(x))",
    "unused": "y = x + self.attention(self.norm1(x)); return x + self.mlp(self.norm2(x))",
    "unknown": "x = x + self.attention(self.norm1(x)); return (x + self.mlp(self.norm2(x))).cos()",
}


def file_of(folder: Path, body: str, text: str = FILE) -> str:
    path = folder / f"{body.replace(' ', '_')}.py"
    path.write_text(text.replace("BODY", BODIES[body]))
    return str(path)


def test_a_layer_in_the_file_of_the_attention_is_read(tmp_path: Path) -> None:
    subject = understand(file_of(tmp_path, "usual"), ("float64",))
    assert subject.layer == PRE_NORM
    assert "Block, but for its residuals and the places of its norms" in subject.not_judged


WITH_MATRICES = """
import torch
from torch import nn

class SelfAttention(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads = num_heads
        self.w_q, self.w_k, self.w_v, self.w_o = (nn.Parameter(torch.randn(d_model, d_model)) for _ in range(4))

    def forward(self, x):
        q, k, v = ((x @ w).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for w in (self.w_q, self.w_k, self.w_v))
        return ((q @ k.mT / q.size(-1) ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2) @ self.w_o
"""


def test_an_attention_that_holds_its_matrices_itself_is_no_out_projection(tmp_path: Path) -> None:
    path = tmp_path / "matrices.py"
    path.write_text(FILE.replace(SELF_ATTENTION, WITH_MATRICES).replace("BODY", BODIES["usual"]))
    assert understand(str(path), ("float64",)).layer == PRE_NORM


def test_a_mistake_in_a_layer_of_the_file_is_violated(tmp_path: Path) -> None:
    subject = understand(file_of(tmp_path, "mistake"), ("float64",))
    assert subject.wrong_layer.startswith("Block computes attention(norm(x)) + feed_forward(")


def test_a_layer_of_the_file_that_changes_its_input_is_violated(tmp_path: Path) -> None:
    subject = understand(file_of(tmp_path, "in place"), ("float64",))
    assert subject.wrong_layer.endswith("it changes its input in place")


def test_a_layer_that_loses_what_its_attention_gives_is_violated(tmp_path: Path) -> None:
    subject = understand(file_of(tmp_path, "unused"), ("float64",))
    assert subject.wrong_layer == "Block computes x + feed_forward(norm(x)): nothing of what its attention gives is in it"


class ConvolutionsOverTokens(nn.Module):
    """A feed-forward of convolutions of size 1, with its residual, as a layer of a translation model has."""

    def __init__(self, d_model, inner):
        super().__init__()
        self.wide, self.narrow = nn.Conv1d(d_model, inner, 1), nn.Conv1d(inner, d_model, 1)

    def forward(self, x):
        return x + self.narrow(self.wide(x.transpose(1, 2)).relu()).transpose(1, 2)


class Turned(ConvolutionsOverTokens):
    """It forgets to turn its tokens back: there are as many of them as features, or it raises."""

    def forward(self, x):
        return x + self.narrow(self.wide(x.transpose(1, 2)).relu())


class AroundATurn(nn.Module):
    def __init__(self, fed):
        super().__init__()
        self.attention, self.fed = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), fed

    def forward(self, x):
        return self.fed(x + self.attention(x))


def test_what_interchanges_axes_around_its_maps_is_followed() -> None:
    x = torch.randn(2, 4, 4, dtype=torch.float64)
    for kind, formula in ((ConvolutionsOverTokens, "a = x + attention(x); a + feed_forward(a)"), (Turned, "None")):
        layer = AroundATurn(kind(4, 6)).double()
        assert str(layer_formula(layer, lambda layer=layer: layer(x), {"attention": "attention"})) == formula


def test_an_unusual_layer_of_the_file_is_a_question(tmp_path: Path) -> None:
    path = file_of(tmp_path, "unusual")
    with pytest.raises(Question, match="Block, which is built of it, computes") as asked:
        understand(path, ("float64",))
    found = verify(path, dtypes="float64", properties=RESIDUALS, contract=asked.value.declaration)
    assert found.verdict == "holds"
    assert verify(path, dtypes="float64", properties=RESIDUALS, contract={"layer": PRE_NORM}).verdict == "violated"


def test_a_layer_of_the_file_that_is_not_understood_is_named(tmp_path: Path) -> None:
    subject = understand(file_of(tmp_path, "unknown"), ("float64",))
    assert subject.layer == ""
    assert "Block, which is built of it" in subject.not_judged


SECOND = """

class PostNorm(Block):
    def forward(self, x):
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.mlp(x))


class Last(nn.Module):
    def __init__(self, num_heads, d_model, expansion):
        super().__init__()
        self.attention, self.norm = SelfAttention(num_heads, d_model), nn.LayerNorm(d_model)

    def forward(self, x):
        return self.norm(x + self.attention(x))
"""


def test_what_is_pinned_of_one_layer_of_a_file_does_not_accuse_the_others(tmp_path: Path) -> None:
    path = Path(file_of(tmp_path, "usual"))
    path.write_text(path.read_text() + SECOND)
    subject = understand(str(path), ("float64",))
    every = f"{PRE_NORM} | a = norm(x + attention(x)); norm(a + feed_forward(a)) | norm(x + attention(x))"
    assert (subject.layer, subject.wrong_layer) == (every, "")
    for declared in (every, PRE_NORM, "norm(x + attention(x))"):
        found = understand(Request.of(str(path), dtypes=("float64",), contract={"layer": declared}))
        assert (found.layer, found.wrong_layer) == (declared, "")
    other = understand(Request.of(str(path), dtypes=("float64",), contract={"layer": "x + attention(x)"}))
    assert other.wrong_layer == f"Block computes {PRE_NORM}: it must compute x + attention(x)"
    two = f"{PRE_NORM} | norm(x + attention(x))"  # and the third has changed since
    third = understand(Request.of(str(path), dtypes=("float64",), contract={"layer": two}))
    assert third.wrong_layer.startswith("PostNorm computes a = norm(x + attention(x))")
    assert third.wrong_layer.endswith(f"it must compute {two}")


def test_an_unusual_layer_next_to_one_that_is_declared_is_declared_with_it(tmp_path: Path) -> None:
    path = Path(file_of(tmp_path, "unusual"))
    path.write_text(
        path.read_text() + SECOND.replace("x = self.norm1(x + self.attention(x))", "x = x + self.norm1(self.attention(x))")
    )
    stated: dict[str, str] = {}
    for _ in range(2):
        with pytest.raises(Question, match="which is no usual form") as asked:
            understand(Request.of(str(path), dtypes=("float64",), contract=stated))
        stated = dict(asked.value.declaration)
    assert stated["layer"].count("|") == 1
    found = understand(
        Request.of(str(path), dtypes=("float64",), contract={"layer": f"{stated['layer']} | norm(x + attention(x))"})
    )
    assert not found.wrong_layer


def test_of_an_attention_with_a_residual_of_its_own_that_one_is_pinned(tmp_path: Path) -> None:
    path = Path(file_of(tmp_path, "usual"))
    within = "return self.norm(x + self.proj((w @ v).transpose(1, 2).flatten(2)))"
    text = path.read_text().replace("return self.proj((w @ v).transpose(1, 2).flatten(2))", within)
    path.write_text(text.replace("self.num_heads = num_heads", "self.num_heads, self.norm = num_heads, nn.LayerNorm(d_model)"))
    subject = understand(str(path), ("float64",))
    assert subject.layer == "norm(x + attention(x))"
    assert "Block computes a = x + norm(norm(x) + attention(norm(x))); a + feed_forward(norm(a))" in " ".join(
        each.text for each in subject.understood
    )
    assert not understand(Request.of(str(path), dtypes=("float64",), contract={"layer": subject.layer})).wrong_layer


GIVEN = """

class GivenItsFeedForward(Block):
    def __init__(self, num_heads, d_model, rff):
        super().__init__(num_heads, d_model, 2)
        self.mlp = rff

    def forward(self, x):
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.mlp(x))
"""


def test_a_feed_forward_that_is_given_is_not_known_and_nothing_is_said_to_be_added_twice(tmp_path: Path) -> None:
    path = Path(file_of(tmp_path, "unknown"))
    path.write_text(
        path.read_text()
        + GIVEN.replace("(Block)", "(nn.Module)").replace(
            "super().__init__(num_heads, d_model, 2)",
            "super().__init__(); self.attention = SelfAttention(num_heads, d_model); "
            "self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)",
        )
    )
    subject = understand(str(path), ("float64",))
    assert (subject.layer, subject.wrong_layer) == ("", "")
    assert "GivenItsFeedForward, which is built of it" in subject.not_judged


DECODER = """
class Decoder(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        self.first, self.second = SelfAttention(num_heads, d_model), SelfAttention(num_heads, d_model)
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)

    def forward(self, x):
        x = x + self.first(self.norm1(x))
        return x + self.SECOND(self.norm2(x))
"""


def test_one_attention_in_the_place_of_another_is_violated(tmp_path: Path) -> None:
    for name in ("first", "second"):
        path = tmp_path / f"{name}.py"
        path.write_text(FILE.replace("BODY", BODIES["usual"]) + DECODER.replace("SECOND", name))
        wrong = understand(str(path), ("float64",)).wrong_layer
        assert wrong.endswith(": it calls first 2 times, and second never") if name == "first" else not wrong
