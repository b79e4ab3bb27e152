"""torch's own module is understood wherever it is; a wrapper is a question, and torch's conventions do not violate anything."""

import json
from pathlib import Path

import pytest
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.introspect.torch_attention import TorchModuleAdapter
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject.adapters.torch_adapter import TorchAdapter

first, later = (nn.MultiheadAttention(20, 4, dropout=0.1, batch_first=b) for b in (True, False))
biased = nn.MultiheadAttention(20, 4, add_bias_kv=True)
with_zeros = nn.MultiheadAttention(20, 4, add_zero_attn=True)


class Subclass(nn.MultiheadAttention):
    pass


def sized(head, d_model):
    return nn.MultiheadAttention(d_model, head, dropout=0.2)


def unsized():
    return nn.MultiheadAttention(8, 2, kdim=8, vdim=8)


def encoder():
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32), 2, enable_nested_tensor=False)


def encoder_batch_first():
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), 2)


class Thin(nn.Module):
    batch_first = True

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.mha = nn.MultiheadAttention(d_model, num_heads, batch_first=self.batch_first)

    def forward(self, query, key, value, attn_mask=None):
        return self.mha(query, key, value, attn_mask=attn_mask)[0]


class ThinPadding(Thin):
    def forward(self, query, key, value, mask=None):
        return self.mha(query, key, value, key_padding_mask=mask)[0]


class ThinTimeFirst(Thin):
    batch_first = False

    def forward(self, query, key, value, attn_mask=None):
        return self.mha(query, key, value, attn_mask=attn_mask)


class ThinForgotten(Thin):
    """Does not say that time comes first."""

    def __init__(self, d_model, num_heads):
        super().__init__(d_model, num_heads)
        self.mha = nn.MultiheadAttention(d_model, num_heads)


class ThinAllowed(Thin):
    """Turns the mask round itself."""

    def forward(self, query, key, value, mask=None):
        hidden = None if mask is None else ~mask.repeat_interleave(self.mha.num_heads, 0)
        return self.mha(query, key, value, attn_mask=hidden)[0]


class ThinWrong(Thin):
    """Key and value mixed up, which no reading makes right."""

    def forward(self, query, key, value, mask=None):
        return self.mha(query, value, key, key_padding_mask=mask)[0]


class OwnForward(nn.MultiheadAttention):
    def __init__(self, d_model, num_heads):
        super().__init__(d_model, num_heads, batch_first=True)

    def forward(self, query, key, value, attn_mask=None):
        return super().forward(query, key, value, attn_mask=attn_mask)[0]


@pytest.mark.parametrize("name", ["first", "later", "Subclass", "sized", "unsized"])
def test_torchs_module_is_known_as_an_object_a_subclass_and_a_factory(name: str) -> None:
    subject = understand(f"{__file__}:{name}")
    assert isinstance(subject.adapter, TorchModuleAdapter)
    assert (subject.contract.mask, subject.contract.fully_masked_row) == ("blocked", "nan")
    assert subject.caller.weights_from == 1
    assert "query, key, value from in_proj_weight" in dict(subject.notes)["parameters"]


def test_arguments_of_its_constructor_may_be_declared() -> None:
    subject = understand(Request("x", "torch.nn:MultiheadAttention", arguments={"bias": False}))
    assert isinstance(subject.adapter, TorchModuleAdapter)
    assert isinstance(understand("torch.nn:MultiheadAttention").adapter, TorchAdapter)


@pytest.mark.parametrize(("name", "words"), [("biased", "add_bias_kv=True"), ("with_zeros", "add_zero_attn=True")])
def test_features_that_no_contract_declares_are_asked_about(name: str, words: str) -> None:
    with pytest.raises(Question) as raised:
        understand(f"{__file__}:{name}")
    assert f"with {words}, which no contract can declare yet" in " ".join(str(raised.value).split())


def test_the_part_of_a_model_that_the_documentation_names_holds(mhsa, tmp_path: Path, root: Path) -> None:
    documented = (root / "docs" / "configuration.md").read_text()
    submodule = 'submodule = "encoder.layers.0.self_attn"'
    assert submodule in documented
    (tmp_path / "model.py").write_text(
        "from torch import nn\n"
        "def build(first):\n"
        "    model = nn.Module()\n"
        "    layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.1, batch_first=first)\n"
        "    model.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)\n"
        "    return model\n"
        "first = build(True)\n"
        "def later():\n"
        "    return build(False)\n"
    )
    tables = [f'[tool.mhsa.subjects.{name}]\nbuild = "model:{name}"\n{submodule}\n' for name in ("first", "later")]
    (tmp_path / "pyproject.toml").write_text("\n".join(tables))
    chosen = "output_without_mask or output_under_masks or returned_weights or gradients_of_inputs or dropped"
    done = mhsa("verify", "-k", chosen, "--no-diagnosis", "--json", "found.json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    subjects = json.loads((tmp_path / "found.json").read_text())["subjects"]
    assert [s["label"] for s in subjects] == ["first", "later"]
    assert all(len(s["properties"]) >= 4 for s in subjects)


@pytest.mark.parametrize(
    ("name", "fields", "shape"),
    [
        ("ThinPadding", {"mask": "blocked", "fully_masked_row": "nan"}, "[B, Tk]"),
        ("Thin", {"mask": "blocked", "fully_masked_row": "nan"}, "[B*H, Tq, Tk]"),
        ("OwnForward", {"mask": "blocked", "fully_masked_row": "nan"}, "[B*H, Tq, Tk]"),
        ("ThinForgotten", {"layout": "TBD", "mask": "blocked", "fully_masked_row": "nan"}, "[B*H, Tq, Tk]"),
    ],
)
def test_a_wrapper_that_keeps_torchs_conventions_is_asked_about_and_read_as_declared(
    name: str, fields: dict[str, str], shape: str
) -> None:
    with pytest.raises(Question) as raised:
        understand(f"{__file__}:{name}")
    declared = raised.value.declaration
    assert {n: x for n, x in declared.items() if n != "reason"} == fields
    found = understand(Request("x", f"{__file__}:{name}", contract=declared))
    assert found.contract.mask_shape == shape
    assert {u.known for u in found.understood if "mask" in u.declaration} == {"declared"}


def test_time_first_is_taken_where_the_wrapper_says_so() -> None:
    with pytest.raises(Question) as raised:
        understand(f"{__file__}:ThinTimeFirst")
    assert "layout" not in raised.value.declaration
    subject = understand(Request("x", f"{__file__}:ThinTimeFirst", contract=raised.value.declaration))
    assert subject.contract.layout == "TBD"


def test_a_wrapper_that_is_right_but_for_nan_is_asked_about_and_one_that_is_not_right_at_all_is_judged() -> None:
    with pytest.raises(Question, match="may give NaN where a query may attend to no key") as raised:
        understand(f"{__file__}:ThinAllowed")
    assert set(raised.value.declaration) == {"fully_masked_row", "reason"}
    assert understand(Request("x", f"{__file__}:ThinAllowed", contract=raised.value.declaration)).contract.mask == "allowed"
    assert understand(f"{__file__}:ThinWrong").contract.mask == "allowed"
