"""A constructor that takes the width of a head of values next to that of keys is judged with another one, too."""

import pytest
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from mhsa.records.request import Request
from tests.helpers.layers import fails


class TwoWidths(nn.Module):
    def __init__(self, n_head: int, d_model: int, d_k: int, d_v: int) -> None:
        super().__init__()
        self.n_head, self.temperature = n_head, self.width(d_k, d_v) ** 0.5
        self.q, self.k = nn.Linear(d_model, n_head * d_k), nn.Linear(d_model, n_head * d_k)
        self.v, self.o = nn.Linear(d_model, n_head * d_v), nn.Linear(n_head * d_v, d_model)

    def width(self, d_k, d_v):
        return d_k

    def forward(self, query, key, value):
        q, k, v = (
            f(x).unflatten(-1, (self.n_head, -1)).transpose(1, 2) for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        return self.o(((q @ k.mT / self.temperature).softmax(-1) @ v).transpose(1, 2).flatten(2))


class ScaledByValues(TwoWidths):
    def width(self, d_k, d_v):
        return d_v


class NamedByFeatures(nn.Module):
    def __init__(self, n_head: int, dim: int, key_dim: int, value_dim: int) -> None:
        super().__init__()
        self.parts = TwoWidths(n_head, dim, key_dim, value_dim)

    def forward(self, query, key, value):
        return self.parts(query, key, value)


class OfAllHeads(nn.Module):
    """Its widths are those of all heads, d_model by default."""

    scaled_by = "kdim"

    def __init__(self, num_heads: int, d_model: int, kdim: int | None = None, vdim: int | None = None) -> None:
        super().__init__()
        widths = {"kdim": kdim or d_model, "vdim": vdim or d_model}
        assert all(width % num_heads == 0 for width in widths.values())
        per_head = {name: width // num_heads for name, width in widths.items()}
        self.parts = TwoWidths(num_heads, d_model, per_head["kdim"], per_head["vdim"])
        self.parts.temperature = per_head[self.scaled_by] ** 0.5

    def forward(self, query, key, value):
        return self.parts(query, key, value)


class OfAllHeadsScaledByValues(OfAllHeads):
    scaled_by = "vdim"


class WidthsOfInputs(OfAllHeads):
    """As torch's: keys and values that are given have these widths."""

    def __init__(self, num_heads: int, d_model: int, kdim: int | None = None, vdim: int | None = None) -> None:
        super().__init__(num_heads, d_model)
        self.parts.k = nn.Linear(kdim or d_model, d_model)
        self.parts.v = nn.Linear(vdim or d_model, d_model)


class Refuses(ScaledByValues):
    def __init__(self, n_head: int, d_model: int, d_k: int, d_v: int) -> None:
        if d_k != d_v:
            raise ValueError("one width alone")
        super().__init__(n_head, d_model, d_k, d_v)


def test_both_widths_are_judged() -> None:
    assert [switch.words for switch in understand(f"{__file__}:TwoWidths").switches] == ["d_v=d_k + 1"]
    found = verify(
        f"{__file__}:TwoWidths", dtypes="float64", properties=("oracle.*", "gradients.gradients_of_parameters", "heads.*"),
    )  # fmt: skip
    assert found, str(found)


def test_a_scale_of_the_values_is_violated() -> None:
    found = verify(f"{__file__}:ScaledByValues", dtypes="float64", properties="oracle.output_without_mask")
    assert found.verdict == "violated"
    assert "with d_v=d_k + 1" in str(found)


def test_widths_of_all_heads_that_may_be_given_are_judged() -> None:
    assert [switch.words for switch in understand(f"{__file__}:OfAllHeads").switches] == ["vdim=d_model + heads"]
    found = verify(f"{__file__}:OfAllHeads", dtypes="float64", properties=("oracle.*", "gradients.gradients_of_parameters"))
    assert found, str(found)
    found = verify(f"{__file__}:OfAllHeadsScaledByValues", dtypes="float64", properties="oracle.output_without_mask")
    assert found.verdict == "violated"
    assert not understand(f"{__file__}:WidthsOfInputs").switches


@pytest.mark.parametrize("name", ["Refuses"])
def test_one_that_takes_one_width_alone_is_judged_with_that(name: str) -> None:
    assert not understand(f"{__file__}:{name}").switches
    assert not fails(f"{__file__}:{name}")


def test_widths_that_are_found_to_be_of_one_head_leave_the_width_of_the_module_free() -> None:
    subject = understand(f"{__file__}:NamedByFeatures")
    assert [switch.words for switch in subject.switches] == ["value_dim=d_k + 1"]
    assert subject.refuses is None
    found = verify(f"{__file__}:NamedByFeatures", dtypes="float64", properties="construction.*")
    assert found, str(found)
    with pytest.raises(Question, match="takes the width of a head"):
        understand(Request("x", f"{__file__}:NamedByFeatures", contract={"indivisible": "raises"}))
