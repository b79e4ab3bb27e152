"""What is understood of a subject, and what is said where nothing is."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import mhsa
from mhsa.introspect.calls.find_call import find_call
from mhsa.introspect.choose_adapter import as_adapter
from mhsa.introspect.load import load
from mhsa.introspect.resolve import understand
from mhsa.records.contract import Contract
from mhsa.records.errors import SubjectError
from mhsa.subject.parameter_layout import Sizes


def notes(name: str) -> dict[str, str]:
    return dict(understand(name).notes)


@pytest.mark.parametrize(
    ("file", "parameters", "mask", "empty"),
    [
        ("baddbmm.py", "query from Wq as [d_model, H x d_k]", "[B, Tq, Tk], bool", "some finite output"),
        ("einsum_parameters.py", "query from w_q as [H, d_model, d_k]", "[B, Tq, Tk], bool", "1 / Tk"),
        ("loop_over_heads.py", "key from heads.#.key.weight as [d_k, d_model]", "[B, Tq, Tk], bool", "1 / Tk"),
        (
            "packed_by_head.py",
            "query, key, value from query_key_value.weight as [H x 3 x d_k, d_model]",
            "[B, 1, Tq, Tk], bool",
            "1 / Tk",
        ),
        ("inf_fill_repaired.py", "out from fc_out.weight", "[B, 1, Tq, Tk], bool", "zero weights"),
        ("big_negative_fill.py", "value from linears.2.weight", "[B, Tq, Tk], bool", "1 / Tk"),
        ("telling_nothing.py", "value from alpha.weight; query from beta.weight", "[B, Tq, Tk], bool", "1 / Tk"),
        ("float_mask.py", "key, value from to_kv.weight", "[B, Tk], 0 or 1, floating", None),
        ("../wrong/repaired_output.py:make", "from inner.in_proj_weight", "[B, Tq, Tk], bool", "zero output"),
    ],
)
def test_styles_are_understood(corpus: Path, file: str, parameters: str, mask: str, empty: str | None) -> None:
    found = notes(str(corpus / "right" / file))
    assert parameters in found["parameters"]
    assert found["mask"].startswith(mask)
    assert empty is None or empty in found["empty rows"]


def test_float32_inside_is_found_and_said(corpus: Path) -> None:
    subject = understand(str(corpus / "right" / "softmax_in_float32.py"))
    assert subject.contract.float64_in == "float32"
    assert subject.precision("float64").unit == 2.0**-24
    assert "judged with float32's roundoff" in dict(subject.notes)["float64"]


def test_float32_inside_is_said_without_a_mask_too(tmp_path: Path) -> None:
    (tmp_path / "single.py").write_text(
        "def attend(query, key, value):\n"
        "    scores = (query.float() @ key.float().mT / query.size(-1) ** 0.5).to(query.dtype)\n"
        "    return scores.softmax(-1) @ value\n"
    )
    assert "judged with float32's roundoff" in notes(f"{tmp_path / 'single.py'}:attend")["float64"]


def test_bugs_do_not_disturb_the_finding(corpus: Path) -> None:
    """Orientation, packing and mask form are found without comparing any number with a right one."""
    found = notes(str(corpus / "wrong" / "softmax_over_queries.py"))
    assert "query from w_q as [H, d_model, d_k]" in found["parameters"]
    assert "value from to_v.weight" in notes(str(corpus / "wrong" / "value_uses_key.py"))["parameters"]


def test_views_write_into_the_module(corpus: Path) -> None:
    subject = understand(str(corpus / "right" / "packed_by_head.py"))
    module = subject.adapter.build(2, 6)
    views = subject.bind(module, Sizes(2, 3))
    views.key.weight.write(torch.arange(36.0).view(6, 6))
    rows = module.query_key_value.weight.view(2, 3, 3, 6)[:, 1].reshape(6, 6)
    assert torch.equal(rows, torch.arange(36.0).view(6, 6))
    assert torch.equal(views.key.weight.read(), rows)


class Plain(nn.Module):
    def __init__(self, num_heads, d_model) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value):
        q, k, v = (
            f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        return self.o(((q @ k.mT / k.size(-1) ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))


built = Plain(2, 8)
not_attention = 3


def sized(heads=2, dim=8):
    return Plain(heads, dim)


def unsized():
    return built


class NeedsMore(nn.Module):
    def __init__(self, heads, dim, table):
        super().__init__()
        self.rows = len(table)


class FourTensors(nn.Module):
    def __init__(self, heads, dim):
        super().__init__()

    def forward(self, left, right, up, down):
        return left


class AnyTensors(nn.Module):
    def __init__(self, heads, dim):
        super().__init__()

    def forward(self, *tensors):
        return tensors[0]


class WithCurve(Plain):
    def __init__(self, num_heads, d_model) -> None:
        super().__init__(num_heads, d_model)
        self.gain = nn.Parameter(torch.ones(d_model))

    def forward(self, query, key, value):
        return (self.gain * super().forward(query, key, value)).cos()


class Core(nn.Module):
    def forward(self, q, k, v, mask=None):
        return q


def test_built_modules_keep_their_sizes() -> None:
    subject = understand(f"{__file__}:built")
    assert subject.adapter.sizes == (2, 8)
    assert subject.masks == ("none",)
    assert dict(subject.notes)["mask"] == "none is given"


def test_factories_with_sizes_are_built_in_every_size() -> None:
    assert understand(f"{__file__}:sized").adapter.sizes is None
    assert understand(f"{__file__}:unsized").adapter.sizes == (2, 8)


def test_a_core_without_parameters_is_a_function() -> None:
    assert "function on [B, H, T, d]" in dict(understand(f"{__file__}:Core").notes)["call"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nosuch:thing", "import of nosuch failed: ModuleNotFoundError"),
        ("torch.nn", "names no object; write package.module:attr"),
        ("torch.nn:MultiheadAttentoin", "did you mean MultiheadAttention"),
        ("tests/nosuch.py", "no file tests/nosuch.py"),
        ("tests/properties/test_corpsu.py", "did you mean tests/properties/test_corpus.py?"),
        (f"{__file__}:not_attention", "is a int; must be an nn.Module class or object"),
        (f"{__file__}:NeedsMore", "needs 'table', and mhsa does not know what to give"),
        (f"{__file__}:FourTensors", "needs down, and mhsa does not know what to give"),
        (f"{__file__}:AnyTensors", "which parameters are query, key and value is not clear"),
        (f"{__file__}:WithCurve", "gain [20] changes the result but is not part of plain multi-head attention"),
        ("torch.nn:Linear", "no parameter that is known to be the number of heads"),
        ("torch:add", "no readable signature"),
        ("mhsa:Adapter", "must define build(self, head, d_model)"),
    ],
)
def test_what_cannot_be_judged_is_told_in_words(name: str, words: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(SubjectError) as raised:
        understand(name)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("class A(\n", "SyntaxError"),
        ("import sys\nsys.exit(0)\n", "SystemExit: 0"),
        ("raise RuntimeError('no\\nluck')\n", "RuntimeError: no luck"),
        ("x = 1\n", "defines no attention-like nn.Module"),
        (
            "from torch import nn\nclass A(nn.Module):\n    def __init__(self, heads, dim): pass\nclass B(A): pass\n",
            "defines several attention-like objects; name one of",
        ),
    ],
)
def test_files_that_cannot_be_judged(tmp_path: Path, source: str, words: str) -> None:
    file = tmp_path / "user.py"
    file.write_text(source)
    with pytest.raises(SubjectError) as raised:
        understand(str(file))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_with_siblings_and_a_library_name(tmp_path: Path) -> None:
    (tmp_path / "sibling_of_random.py").write_text("WIDTH = 8\n")
    (tmp_path / "random.py").write_text(
        "import sibling_of_random\nfrom mhsa import MultiHeadAttention as Mine\nimport random\n"
    )
    assert understand(f"{tmp_path}/random.py:Mine").name.endswith("random.py:Mine")


def test_the_documented_adapter(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of docs/adapters.md, as it stands there, is under 20 lines and understood; test_documents.py judges it."""
    text = (root / "docs" / "adapters.md").read_text()
    model, adapter = (block.split("```")[0] for block in text.split("```python\n")[1:3])
    assert len(adapter.strip().splitlines()) < 20
    (tmp_path / "model.py").write_text(model)
    (tmp_path / "check_model.py").write_text(adapter)
    monkeypatch.delitem(sys.modules, "model", raising=False)  # another test's file may be called so
    subject = understand(f"{tmp_path}/check_model.py")
    assert subject.contract.mask == "additive"
    assert "called by the user's adapter" in dict(subject.notes)["call"]


def test_contracts_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ValueError, match="must be one of None, 'zeros', 'uniform'"):
        Contract(fully_masked_row="zero")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs a reason"):
        Contract(fully_masked_row="nan")


def test_the_public_surface() -> None:
    assert mhsa.__all__ == sorted(mhsa.__all__)
    assert [name for name in dir(mhsa) if not name.startswith("_")] == mhsa.__all__
    assert all(getattr(mhsa, name) is not None for name in mhsa.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mhsa.nothing  # type: ignore[attr-defined]


class NeedsMask(Core):
    """Not attention; what matters is that a call without a mask raises."""

    def __init__(self, num_heads: int, embed_dim: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(embed_dim, embed_dim) for _ in range(4))

    def forward(self, q, k, v, mask):  # type: ignore[no-untyped-def]
        return self.maps[0](q) * mask.any(-1, keepdim=True)


class Forgetful(NeedsMask):
    def forward(self, q, k, v, mask=None):  # type: ignore[no-untyped-def]
        return self.maps[0](q) * mask.any(-1, keepdim=True)


def test_a_mask_without_a_default_is_always_given(corpus: Path) -> None:
    subject = understand(str(corpus / "right" / "mask_without_default.py"))
    assert subject.caller.fills_mask
    assert "needed: one that allows everything where a case has none" in dict(subject.notes)["mask"]
    caller = find_call(as_adapter(NeedsMask, "m"), NeedsMask(4, 20).double())
    assert caller.fills_mask


def test_one_that_cannot_be_left_out_is_given_though_its_default_is_none() -> None:
    """Public code has it so; that calls without one raise is said in the verdict."""
    caller = find_call(as_adapter(Forgetful, "m"), Forgetful(4, 20).double())
    assert caller.fills_mask


def test_loading_leaves_nothing_in_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "beside.py").write_text("N = 1\n")
    (tmp_path / "subject.py").write_text("from beside import N\n\n\ndef attention(q, k, v):\n    return v[..., :N, :]\n")
    load(f"{tmp_path}/subject.py:attention")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beside.py", "subject.py"]
    assert not sys.dont_write_bytecode
