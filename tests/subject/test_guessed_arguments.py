"""Constructors whose names do not say everything: what is tried, by its use in the source, and counts with an exact fit."""

import copy

import pytest
import torch
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from mhsa.records.request import Request
from tests.subject.constructed import Plain, adapter, attend, words


class Guessed(Plain):
    """Nothing but the source says what it needs; with "cold" it does not compute attention."""

    def __init__(self, heads, dim, d_source, start, *, epsilon_of_norm, show, kind="warm") -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        if start not in ("hot", "warm"):
            raise ValueError("must be hot or warm")
        self.prepare(heads, dim)
        self.source = nn.Linear(d_source, dim)
        self.norm = nn.LayerNorm(dim, eps=epsilon_of_norm)
        self.show = show
        self.given = (d_source, start, epsilon_of_norm, show)

    def forward(self, x: torch.Tensor):  # type: ignore[no-untyped-def]
        output = super().forward(x)
        return (output, None) if self.show else output


class GuessedWrongly(Plain):
    def __init__(self, heads: int, dim: int, sharpness: float) -> None:
        super().__init__()
        self.prepare(heads, dim)
        self.sharpness = 2.0 * sharpness

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return attend(self.maps, self.count, x * self.sharpness)


class Nested(Plain):
    def __init__(self, hyper) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.prepare(hyper.inner["num_heads"], hyper.hidden_size)
        self.doubled = hyper.doubles_it
        self.asked = hasattr(hyper, "doubles_it_again")
        self.heads = hyper.num_heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(2 * x if self.doubled else x)


class ReadsWhatIsInside(nn.Linear):
    def __init__(self, hyper) -> None:  # type: ignore[no-untyped-def]
        super().__init__(hyper.hidden_size, hyper.stack["mlp_dim"])


class HandsItOn(Plain):
    """A part of it alone reads what is in the configuration of its configuration."""

    def __init__(self, hyper) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.prepare(hyper.num_heads, hyper.hidden_size)
        self.fed = ReadsWhatIsInside(hyper)


class Unread(Plain):
    """Keeps what nothing is made of."""

    def __init__(self, config) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.prepare(config.num_heads, config.hidden_size)
        self.n_agents = config.n_agents


class ReadLater(Unread):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * self.n_agents


class NeedsAWidth(Plain):
    def __init__(self, heads: int, dim: int, source: int | None = None, alone: bool = False) -> None:
        super().__init__()
        self.prepare(heads, dim)
        self.from_source = nn.Linear(source, dim)  # type: ignore[arg-type]


class NeedsItsSwitch(Plain):
    def __init__(self, heads: int, dim: int, alone: bool = False) -> None:
        super().__init__()
        assert alone
        self.prepare(heads, dim)


class Core(nn.Module):
    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return (q @ k.mT / q.size(-1) ** 0.5).softmax(-1) @ v


class CoreAttention(Core):
    pass


class AroundACore(Plain):
    def __init__(self, mechanism: nn.Module, heads: int, dim: int) -> None:
        super().__init__()
        self.prepare(heads, dim)
        self.mechanism = mechanism

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (self.maps[i](x).unflatten(-1, (self.count, -1)).transpose(1, 2) for i in range(3))
        return self.maps[3](self.mechanism(q, k, v).transpose(1, 2).flatten(2))


def test_what_no_name_tells_is_given_by_its_use_and_said() -> None:
    found = adapter(Guessed)
    assert found.build(4, 20).given == (20, "hot", 1e-5, False)
    for value in ("d_source=d_model", "start='hot'", "epsilon_of_norm=1e-05", "show=False"):
        assert value in words(found)
    assert adapter(Guessed, start="warm").build(4, 20).given[1] == "warm"
    assert "given for what no name tells" in words(understand(f"{__file__}:Guessed"))


def test_a_guess_without_a_fit_is_a_question_and_no_violation() -> None:
    with pytest.raises(Question, match=r"with sharpness=1\.0, which mhsa chose.*--argument sharpness=VALUE"):
        understand(f"{__file__}:GuessedWrongly")
    understand(Request("x", f"{__file__}:GuessedWrongly", arguments={"sharpness": 1.0}))  # stated: judged


def test_a_configuration_may_have_another_name_and_one_inside() -> None:
    found = adapter(Nested)
    built = found.build(4, 20)
    assert (built.count, built.doubled, built.asked) == (4, False, False)
    assert "hyper is made of the names that it is asked for, with inner made in the same way" in words(found)
    assert "hyper.doubles_it=False" in words(found)
    assert adapter(Nested, **{"hyper.doubles_it": True}).build(4, 20).doubled
    assert adapter(HandsItOn).build(4, 20).fed.out_features == 40
    assert copy.deepcopy(found.construction(4, 20)) == found.construction(4, 20)


def test_an_optional_argument_that_must_be_given_is_tried() -> None:
    assert adapter(NeedsAWidth).build(4, 20).from_source.in_features == 20
    assert "source=d_model" in words(adapter(NeedsAWidth))
    assert "alone=True" in words(adapter(NeedsItsSwitch))


def test_an_attention_that_is_given_is_one_of_the_file() -> None:
    assert isinstance(adapter(AroundACore).build(4, 20).mechanism, CoreAttention)
    assert "mechanism=CoreAttention()" in words(understand(f"{__file__}:AroundACore"))


class SmallTarget(Plain):
    """A width whose default is a number no number of heads but 1, 2 and 4 divides, and a switch."""

    def __init__(self, dim: int = 20, num_heads: int = 1, attention_dim: int = 20, bias_free: bool = False) -> None:
        super().__init__()
        if attention_dim % num_heads:
            raise ValueError(attention_dim)
        self.prepare(num_heads, dim)
        self.maps[0] = nn.Linear(dim, attention_dim)
        self.bias_free = bias_free


class Positions(Plain):
    """Has a causal mask for a number of positions, which its name does not tell."""

    def __init__(self, heads: int, dim: int, n_agent: int) -> None:
        super().__init__()
        self.prepare(heads, dim)
        self.register_buffer("triangle", torch.tril(torch.ones(n_agent + 1, n_agent + 1)))


def test_a_width_whose_default_fits_some_heads_alone_is_given() -> None:
    found = adapter(SmallTarget)
    assert found.build(3, 21).maps[0].out_features == 21
    assert "attention_dim=d_model" in words(found)
    assert not found.build(3, 21).bias_free


def test_a_number_of_positions_is_known_by_the_triangle_that_is_made_with_it() -> None:
    found = adapter(Positions)
    assert len(found.build(4, 20).triangle) > 600  # more than a case has
    assert "n_agent=length" in words(found)
    assert found.constructor.established == {"n_agent"}


class PositionsInTwoSteps(Plain):
    """The same of a matrix that has a name first; a mask of one position would hide nothing of longer inputs."""

    def __init__(self, heads: int, dim: int, n_agent: int) -> None:
        super().__init__()
        self.prepare(heads, dim)
        square = torch.ones((n_agent, n_agent))
        self.register_buffer("triangle", torch.tril(square).view(1, 1, n_agent, n_agent))


class PositionsInAMethod(Plain):
    def __init__(self, heads: int, dim: int, n_agent: int) -> None:
        super().__init__()
        self.prepare(heads, dim)
        self.register_buffer("triangle", torch.ones(n_agent, n_agent).tril()[None])


@pytest.mark.parametrize("kind", [PositionsInTwoSteps, PositionsInAMethod])
def test_a_triangle_may_be_made_of_a_matrix_that_has_a_name_or_by_its_method(kind: type[Plain]) -> None:
    found = adapter(kind)
    assert found.build(4, 20).triangle.size(-1) > 600
    assert found.constructor.established == {"n_agent"}


class PositionsOfAContext(Plain):
    """A name that is that of a width, too."""

    def __init__(self, heads: int, dim: int, context_size: int) -> None:
        super().__init__()
        self.prepare(heads, dim)
        self.register_buffer("triangle", torch.tril(torch.ones(context_size, context_size)))


def test_a_name_of_positions_and_of_a_width_is_told_by_the_triangle() -> None:
    found = adapter(PositionsOfAContext)
    assert [found.build(4, d_model).triangle.size(-1) > 600 for d_model in (20, 40)] == [True, True]


class Product(nn.Module):
    """Layers as wide as the product of two of its arguments, neither of which is the number of heads by its name."""

    widest = 0

    def __init__(self, K: int, d: int, momentum: float) -> None:
        super().__init__()
        Product.widest = max(Product.widest, K * d)
        self.layer = nn.Linear(2 * K * d, K * d, device="meta" if K * d > 4096 else None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(torch.cat((x, x), dim=-1))


def test_trials_end_before_a_module_is_huge() -> None:
    with pytest.raises(Question, match="'K' and 'momentum'"):
        adapter(Product)
    assert Product.widest <= 4096


class Checkpointed(Plain):
    """Compares the level of its checkpoints with a word."""

    def __init__(self, heads: int, dim: int, checkpoint_level: str) -> None:
        super().__init__()
        self.prepare(heads, dim)
        self.checkpoints = checkpoint_level == "C2"


def test_checkpoints_of_activations_are_switched_off() -> None:
    assert not adapter(Checkpointed).build(4, 20).checkpoints


class NeedsTheWidthOfItsValues(nn.Module):
    """Its default of None stands for nothing."""

    def __init__(self, embed_dim: int, num_heads: int, vdim: int | None = None) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError("no multiple")
        self.num_heads = num_heads
        self.q, self.k = (nn.Linear(embed_dim, embed_dim) for _ in range(2))
        self.v, self.out = nn.Linear(vdim, embed_dim), nn.Linear(embed_dim, embed_dim)

    def forward(self, query, key, value):
        layers = (self.q, query), (self.k, key), (self.v, value)
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f, x in layers)
        return self.out(((q @ k.mT / q.size(-1) ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))


def test_a_width_without_which_nothing_can_be_built_is_given() -> None:
    subject = understand(f"{__file__}:NeedsTheWidthOfItsValues")
    assert subject.adapter.construction(4, 24)["vdim"] == 24
    assert subject.adapter.sizes is None


class HasWidthsThatAreComputed(nn.Module):
    """Of the widths that are None by default one is needed, and the others are computed from it."""

    def __init__(self, heads, dim, embed_dim=None, val_dim=None, key_dim=None) -> None:
        super().__init__()
        val_dim = embed_dim // heads if val_dim is None else val_dim
        key_dim = val_dim if key_dim is None else key_dim
        self.scale, self.embed_dim = key_dim**-0.5, embed_dim
        self.q, self.k = (nn.Parameter(torch.randn(heads, dim, key_dim)) for _ in range(2))
        self.v, self.o = nn.Parameter(torch.randn(heads, dim, val_dim)), nn.Parameter(torch.randn(heads, val_dim, embed_dim))

    def forward(self, query, key):
        q, k, v = query[:, None] @ self.q, key[:, None] @ self.k, key[:, None] @ self.v
        return (((q @ k.mT * self.scale).softmax(-1) @ v) @ self.o).sum(1)


class IsGivenItsMaps(nn.Module):
    """Its linear layers are arguments, two of which are copies of one."""

    def __init__(self, d_model, h, q_fc, kv_fc, out_fc) -> None:
        super().__init__()
        if d_model % h:
            raise ValueError("no multiple")
        self.h, self.q_fc, self.out_fc = h, copy.deepcopy(q_fc), out_fc
        self.k_fc, self.v_fc = copy.deepcopy(kv_fc), copy.deepcopy(kv_fc)

    def heads(self, x, layer):
        return layer(x).unflatten(-1, (self.h, -1)).transpose(1, 2)

    def forward(self, *, query, key, value):
        q, k, v = (self.heads(x, f) for x, f in ((query, self.q_fc), (key, self.k_fc), (value, self.v_fc)))
        return self.out_fc(((q @ k.mT / q.size(-1) ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))


class IsGivenItsMapsAndUsesKeysTwice(IsGivenItsMaps):
    def forward(self, *, query, key, value):
        return super().forward(query=query, key=key, value=key)


def test_linear_layers_may_be_arguments() -> None:
    name = f"{__file__}:IsGivenItsMaps"
    assert "q_fc=nn.Linear(d_model, d_model)" in words(understand(name))
    found = verify(name, dtypes="float64", properties="oracle.*")
    assert found, str(found)
    assert verify(f"{name}AndUsesKeysTwice", dtypes="float64", properties="oracle.*").verdict == "violated"


def test_no_more_widths_are_given_than_are_needed() -> None:
    subject = understand(f"{__file__}:HasWidthsThatAreComputed")
    assert "embed_dim=d_model; state" in words(subject)
    assert {"constructor argument val_dim", "constructor argument key_dim"} <= set(subject.not_judged)
    assert dict(subject.notes)["parameters"].count("[H, d_model, d_k]") == 3


def test_a_configuration_may_hold_what_is_only_stored() -> None:
    subject = understand(f"{__file__}:Unread")
    assert "n_agents=None" in words(subject)
    with pytest.raises(Question, match=r"reads config\.n_agents, and mhsa does not know what to give"):
        understand(f"{__file__}:ReadLater")
