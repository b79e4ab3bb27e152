"""How constructors are read: names, configurations, widths of one head or of all, sizes that stand in the code."""

import copy
import inspect
import pickle
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question, SubjectError
from mhsa.records.names import pick
from mhsa.records.request import Request
from mhsa.subject.construction.argument_roles import LENGTH, role_of
from mhsa.subject.construction.parameters import read_parameters
from tests.subject.constructed import Plain, adapter, words

HEADS, FEATURES = 3, 12


class Camel(Plain):
    def __init__(self, hiddenSize: int, numAttentionHeads: int) -> None:
        super().__init__()
        self.prepare(numAttentionHeads, hiddenSize)


class OfOneHead(Plain):
    def __init__(self, heads: int, dim: int, d_k: int) -> None:
        super().__init__()
        self.prepare(heads, dim, heads * d_k)


class OfAllHeads(Plain):
    def __init__(self, heads: int, dim: int, d_k: int) -> None:
        super().__init__()
        self.prepare(heads, dim, d_k)


class Configured(Plain):
    def __init__(self, config) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        if config.n_embd % config.n_head and not hasattr(config, "embedding_size"):
            raise ValueError("must be divisible")
        self.prepare(config.n_head, config.n_embd)
        self.register_buffer("seen", torch.ones(config.block_size, 1))
        self.drop = nn.Dropout(config.attn_pdrop)
        self.kept = config
        self.optional = getattr(config, "head_dim", None)


class ByItems(Plain):
    def __init__(self, cfg) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.prepare(cfg["n_heads"], cfg["emb_dim"])


class Settings:
    """What is set by whoever makes one."""


class OfSettings(Plain):
    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.prepare(settings.num_mha_heads, settings.embed_dim)  # type: ignore[attr-defined]


class Windowed(Configured):
    def __init__(self, config) -> None:  # type: ignore[no-untyped-def]
        super().__init__(config)
        self.window = config.window

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x[:, : self.window])


@dataclass
class Shape:
    n_embd: int = 768
    n_head: int = 12
    extra: str = "kept"


class ByDataclass(Plain):
    def __init__(self, shape: "Shape") -> None:
        super().__init__()
        assert shape.extra == "kept"
        self.prepare(shape.n_head, shape.n_embd)


@dataclass
class WholeModel:
    """What a whole model needs; the rate is that of its feed-forward part."""

    dim: int = 16
    n_heads: int = 4
    dropout: float = 0.1


class NeverAsksForTheRate(Plain):
    def __init__(self, config: WholeModel) -> None:
        super().__init__()
        self.config = config
        self.prepare(config.n_heads, self.config.dim)


class KeepsTheRate(Plain):
    def __init__(self, config: WholeModel) -> None:
        super().__init__()
        self.rate = config.dropout
        self.prepare(config.n_heads, config.dim)


class HandsItOn(Plain):
    def __init__(self, config: WholeModel) -> None:
        super().__init__()
        self.inner = KeepsTheRate(config)
        self.prepare(config.n_heads, config.dim)


class OfGlobals(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.prepare(HEADS, FEATURES)


class OfGlobalsWithHeadsApart(nn.Module):
    """Its first layers take the features of one head."""

    def __init__(self) -> None:
        super().__init__()
        width = FEATURES // HEADS
        self.maps = nn.ModuleList([nn.Linear(width, 3 * width) for _ in range(HEADS)])
        self.out = nn.Linear(FEATURES, FEATURES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = []
        for layer, part in zip(self.maps, x.chunk(HEADS, -1), strict=True):
            q, k, v = layer(part).chunk(3, -1)
            heads.append((q @ k.mT / q.size(-1) ** 0.5).softmax(-1) @ v)
        out: torch.Tensor = self.out(torch.cat(heads, -1))
        return out


class WidthOfItsOwn(Plain):
    def __init__(self, num_heads: int, head_size: int) -> None:
        super().__init__()
        self.prepare(num_heads, self.features, num_heads * head_size)

    features = 20  # the width of mhsa's first try


class HeadsOfItsOwn(Plain):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.prepare(HEADS, dim)


class Harmless(Plain):
    def __init__(self, heads: int, dim: int, block_size: int, layer_idx: int, bias: bool, masked: bool, device) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.prepare(heads, dim)
        self.given = block_size, layer_idx, bias, masked, device


class Sixteen(Plain):
    def __init__(self, heads: int, dim: int, block_size: int | None = None) -> None:
        super().__init__()
        self.prepare(heads, dim)
        self.register_buffer("seen", torch.zeros(block_size or 16, block_size or 16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + (self.seen[: x.size(1), : x.size(1)] + torch.zeros(x.size(1), x.size(1))).sum()


class Lengthy(Sixteen):
    def __init__(self, heads: int, dim: int, max_len: int = 16) -> None:
        super().__init__(heads, dim, max_len)


class LengthyUnderAnotherName(Sixteen):
    def __init__(self, heads: int, dim: int, extent: int = 16, other: int = 3) -> None:
        super().__init__(heads, dim, extent)
        self.other = other


class LengthyUnderTwoNames(Sixteen):
    def __init__(self, heads: int, dim: int, extent: int = 16, other: int = 16) -> None:
        super().__init__(heads, dim, extent)
        self.other = other


class Unknown(Plain):
    def __init__(self, heads: int, dim: int, window: int) -> None:
        super().__init__()
        if window != 3:
            raise ValueError("must be 3")
        self.prepare(heads, dim)


class Grouped(Plain):
    def __init__(self, heads: int, dim: int) -> None:
        super().__init__()
        self.prepare(heads, dim)
        self.norm = nn.GroupNorm(32, dim)


@dataclass
class GroupedShape:
    dim: int
    num_heads: int = 8
    norm_groups: int = 32


class GroupedByDataclass(Plain):
    def __init__(self, shape: GroupedShape) -> None:
        super().__init__()
        self.prepare(shape.num_heads, shape.dim)
        self.norm = nn.GroupNorm(shape.norm_groups, shape.dim)


class FourGroups(Plain):
    def __init__(self, heads: int, dim: int) -> None:
        super().__init__()
        self.prepare(heads, dim)
        self.norm = nn.GroupNorm(4, dim)


class Lazy(Plain):
    def __init__(self, heads: int, dim: int) -> None:
        super().__init__()
        self.num_heads = self.count = heads
        self.maps = nn.ModuleList(nn.LazyLinear(dim) for _ in range(4))


class NoGpu(Plain):
    def __init__(self, heads: int, dim: int) -> None:
        super().__init__()
        raise AssertionError("Torch not compiled with CUDA enabled")


class NoGpuInForward(Camel):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise AssertionError("Torch not compiled with CUDA enabled")


class InFloat32(Plain):
    def __init__(self, heads: int, dim: int) -> None:
        super().__init__()
        self.prepare(heads, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) @ torch.eye(x.size(-1), dtype=torch.float32)


def test_names_are_compared_without_case_and_underscores() -> None:
    assert pick(["numAttentionHeads"], {"num_attention_heads"}) == "numAttentionHeads"
    assert adapter(Camel).construction(4, 20) == {"hiddenSize": 20, "numAttentionHeads": 4}


def test_a_size_may_be_named_with_its_part_of_a_model() -> None:
    assert [role_of(n) for n in ("vit_n_heads", "lm_heads", "encoder_embed_dim", "dec_dropout")] == [
        "head", "head", "d_model", "dropout",
    ]  # fmt: skip
    assert [n for n in ("encoder_depth", "text_size", "vision_patch_size", "image_size", "vit_num_layers") if role_of(n)] == []


def test_numbers_for_initial_values_mean_nothing() -> None:
    def make(num_heads: int, d_model: int, init_scale: float, gamma: float) -> None: ...

    read = read_parameters(dict(inspect.signature(make).parameters))
    assert (read.fixed, read.unknown) == ({"init_scale": 1.0}, ("gamma",))


@pytest.mark.parametrize(("target", "d_k"), [(OfOneHead, 5), (OfAllHeads, 20)])
def test_the_width_of_a_head_is_that_of_one_or_of_all(target: type[nn.Module], d_k: int) -> None:
    found = adapter(target)
    assert found.construction(4, 20) == {"heads": 4, "dim": 20, "d_k": d_k}
    assert ("of all heads together" in words(found)) == (target is OfAllHeads)
    assert "holds" not in words(found)


def test_a_configuration_answers_what_is_read() -> None:
    found = adapter(Configured)
    module = found.build_dropping(4, 20, 0.25)
    assert module is not None
    assert (module.count, module.drop.p, module.optional) == (4, 0.25, None)
    assert module.seen.size(0) == LENGTH
    assert f"block_size ({LENGTH} positions" in words(found)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert twin.kept.n_embd == 20
    written = eval(repr(module.kept))
    assert (written.n_head, written.n_embd) == (4, 20)
    with pytest.raises(ValueError, match="divisible"):  # embedding_size is looked for alone, and so is not there
        found.build(4, 21)


def test_a_configuration_may_be_a_dict_or_a_dataclass() -> None:
    assert adapter(ByItems).build(4, 20).count == 4
    found = adapter(ByDataclass)
    assert found.construction(4, 20) == {"shape": Shape(20, 4)}
    assert "shape is a Shape" in words(found)


@pytest.mark.parametrize(("target", "drops"), [(NeverAsksForTheRate, False), (KeepsTheRate, True), (HandsItOn, True)])
def test_a_rate_of_a_configuration_is_that_of_who_asks_for_it(target: type[nn.Module], drops: bool) -> None:
    found = adapter(target)
    assert found.constructor is not None
    assert found.constructor.drops is drops
    assert found.build(4, 20).count == 4


def test_a_class_that_holds_nothing_stands_for_what_is_read() -> None:
    module = adapter(OfSettings).build(4, 20)
    assert (module.count, module.maps[0].in_features) == (4, 20)


def test_what_a_configuration_lacks_is_a_question_and_can_be_stated() -> None:
    with pytest.raises(Question, match=r"reads config\.window.*--argument config\.window=VALUE"):
        understand(f"{__file__}:Windowed")
    stated = adapter(Windowed, **{"config.window": 7})
    assert stated.build(4, 20).window == 7
    assert adapter(Windowed, config={"window": 8}).build(4, 20).window == 8
    fixed = adapter(Configured, **{"config.n_head": 2, "config.n_embd": 6})
    assert fixed.sizes == (2, 6)
    with pytest.raises(SubjectError, match=r"takes no argument 'cofig\.window'"):
        adapter(Windowed, **{"cofig.window": 7})


def test_sizes_that_stand_in_the_code_are_read_from_a_built_module() -> None:
    assert adapter(OfGlobals).sizes == (HEADS, FEATURES)
    assert adapter(OfGlobalsWithHeadsApart).sizes == (HEADS, FEATURES)
    found = adapter(HeadsOfItsOwn)
    assert found.sizes == (HEADS, 5 * HEADS)
    assert "one size, head=3, d_model=15" in words(found)
    assert adapter(WidthOfItsOwn).sizes == (4, 20)


def test_what_means_nothing_to_attention_is_given_and_said() -> None:
    found = adapter(Harmless)
    assert found.build(4, 20).given == (LENGTH, 0, True, False, None)
    for name in ("block_size", "layer_idx", "bias", "masked", "device"):
        assert name in words(found)
    assert adapter(Harmless, bias=False).build(4, 20).given[2] is False


def test_an_unknown_argument_is_a_question_and_can_be_stated() -> None:
    with pytest.raises(Question, match=r"needs 'window'.*--argument window=VALUE.*\{ window = VALUE \}"):
        adapter(Unknown)
    assert adapter(Unknown, window=3).build(4, 20).count == 4


def test_a_size_that_is_refused_is_replaced_by_one_that_is_not() -> None:
    assert adapter(Grouped).sizes == adapter(GroupedByDataclass).sizes == (4, 64)
    assert adapter(FourGroups).sizes == (4, 20)


@pytest.mark.parametrize("name", ["NoGpu", "NoGpuInForward"])
def test_a_missing_gpu_is_a_question(name: str) -> None:
    with pytest.raises(Question) as caught:
        understand(f"{__file__}:{name}")
    said = " ".join(str(caught.value).split())
    assert "Torch not compiled with CUDA enabled" in said
    assert "There is no GPU. Where there is one: mhsa verify --device cuda." in said


def test_what_runs_in_float32_alone_is_judged_with_its_roundoff() -> None:
    subject = understand(f"{__file__}:InFloat32")
    assert subject.contract.float64_in == "float32"
    x = torch.randn(2, 3, 20, dtype=torch.float64, requires_grad=True)
    output = subject.caller(subject.adapter.build(4, 20).double(), x, x, x, None)[0]
    output.sum().backward()
    assert output.dtype == x.grad.dtype == torch.float64


def test_lazy_parameters_get_their_sizes_from_one_call() -> None:
    subject = understand(f"{__file__}:Lazy")
    assert "lazy parameters get their sizes from one call" in words(subject)
    module = subject.adapter.build(4, 20)
    assert [tuple(p.shape) for p in module.parameters()] == [(20, 20), (20,)] * 4
    assert module.training


def test_a_module_with_positions_for_sixteen_is_a_question() -> None:
    with pytest.raises(Question) as caught:
        understand(f"{__file__}:Sixteen")
    assert "it takes at most 16 positions, because seen is made for so many" in " ".join(str(caught.value).split())
    name = f"{__file__}:Sixteen"
    assert understand(Request(name, name, arguments={"block_size": LENGTH})).adapter.construction(4, 20)
    assert adapter(Lengthy).construction(4, 20) == {"heads": 4, "dim": 20, "max_len": LENGTH}


def test_the_number_of_positions_is_the_argument_that_says_as_many() -> None:
    subject = understand(f"{__file__}:LengthyUnderAnotherName")
    assert subject.adapter.construction(4, 20) == {"heads": 4, "dim": 20, "extent": LENGTH}
    words = f"extent={LENGTH}: by default it takes no more than 16 positions"
    assert any(part.text == words and part.known == "fitted" for part in subject.understood)
    stated = Request("a", f"{__file__}:LengthyUnderAnotherName", arguments={"extent": 16})
    for request in (f"{__file__}:LengthyUnderTwoNames", stated):
        with pytest.raises(Question, match="it takes at most 16 positions"):
            understand(request)
