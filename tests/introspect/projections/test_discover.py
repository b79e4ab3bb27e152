"""Maps that are no plain parameters: absent, within a head, computed, convolutions; wrong twins are found all the same."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import mhsa
from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject.parameter_layout import Sizes

FEW = ("oracle.output_*", "heads.*", "gradients.gradients_of_*", "identities.*", "construction.parameters_*",
       "construction.every_*", "crafted_inputs.output_in_two_clusters", "algebra.*")  # fmt: skip


class Attention(nn.Module):
    """The usual one; what a subclass makes of its maps differs. A wrong twin has no scale."""

    scaled = True

    def __init__(self, num_heads, d_model):
        super().__init__()
        if d_model % num_heads:
            raise ValueError("no multiple")
        self.num_heads, self.d_model = num_heads, d_model
        self.make(d_model, d_model // num_heads)

    def make(self, d, d_k):
        self.q, self.k, self.v, self.o = (nn.Linear(d, d) for _ in range(4))

    def maps(self, *inputs):
        return (self.split(f(x)) for f, x in zip((self.q, self.k, self.v), inputs, strict=True))

    def split(self, x):
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def mix(self, z):
        return self.o(z)

    def forward(self, query, key, value, mask=None):
        q, k, v = self.maps(query, key, value)
        scores = q @ k.mT / (q.size(-1) ** 0.5 if self.scaled else 1.0)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], -1e9)
        return self.mix((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class NoOut(Attention):
    def make(self, d, d_k):
        self.q, self.k, self.v = (nn.Linear(d, d) for _ in range(3))

    def mix(self, z):
        return z


class OutAlone(Attention):
    def make(self, d, d_k):
        self.w_0 = nn.Linear(d, d)

    def maps(self, *inputs):
        return (self.split(x) for x in inputs)

    def mix(self, z):
        return self.w_0(z)


class Tied(Attention):
    """Keys and values share one map."""

    def make(self, d, d_k):
        self.q, self.linear_kv, self.o = (nn.Linear(d, d) for _ in range(3))

    def maps(self, query, key, value):
        return self.split(self.q(query)), self.split(self.linear_kv(key)), self.split(self.linear_kv(value))


class ValueOfKey(Tied):
    """No name says that the values come from the key's map."""

    def make(self, d, d_k):
        self.w_q, self.w_k, self.proj = (nn.Linear(d, d) for _ in range(3))

    def maps(self, query, key, value):
        return self.split(self.w_q(query)), self.split(self.w_k(key)), self.split(self.w_k(value))

    def mix(self, z):
        return self.proj(z)


class NormInOutput(Attention):
    """A norm whose path says "output"."""

    def make(self, d, d_k):
        self.query, self.key, self.value = (nn.Linear(d, d) for _ in range(3))
        self.output = nn.ModuleDict({"dense": nn.Linear(d, d), "norm": nn.LayerNorm(d)})

    def maps(self, *inputs):
        return (self.split(f(x)) for f, x in zip((self.query, self.key, self.value), inputs, strict=True))

    def mix(self, z):
        return self.output["dense"](z)

    def forward(self, query, key, value, mask=None):
        return self.output["norm"](super().forward(query, key, value, mask) + query)


class PackedConvolution(Attention):
    """Each head has its query, key and value side by side, biases included."""

    def make(self, d, d_k):
        self.qkv, self.o = nn.Conv1d(d, 3 * d, 1), nn.Conv1d(d, d, 1)

    def forward(self, x):
        q, k, v = self.qkv(x.mT).mT.unflatten(-1, (self.num_heads, 3, -1)).permute(3, 0, 2, 1, 4)
        scores = q @ k.mT / (q.size(-1) ** 0.5 if self.scaled else 1.0)
        return self.o((scores.softmax(-1) @ v).transpose(1, 2).flatten(2).mT).mT


class NoMaps(NoOut):
    def make(self, d, d_k):
        pass

    def maps(self, *inputs):
        return (self.split(x) for x in inputs)

    def forward(self, x, mask=None):
        return super().forward(x, x, x, mask)


class SharedByHeads(Attention):
    def make(self, d, d_k):
        self.queries, self.keys, self.values = (nn.Linear(d_k, d_k) for _ in range(3))
        self.fc_out = nn.Linear(d, d)

    def maps(self, *inputs):
        return (f(self.split(x)) for f, x in zip((self.queries, self.keys, self.values), inputs, strict=True))

    def mix(self, z):
        return self.fc_out(z)


class EachItsOwn(SharedByHeads):
    def make(self, d, d_k):
        def heads():
            return nn.ModuleList(nn.Linear(d_k, d_k, bias=False) for _ in range(self.num_heads))

        self.to_q, self.to_k, self.to_v, self.fc_out = heads(), heads(), heads(), nn.Linear(d, d)

    def maps(self, *inputs):
        for linears, x in zip((self.to_q, self.to_k, self.to_v), inputs, strict=True):
            yield torch.stack([f(part) for f, part in zip(linears, x.chunk(self.num_heads, -1), strict=True)], 1)


class Convolutions(Attention):
    def make(self, d, d_k):
        self.q, self.k, self.v, self.o = (nn.Conv1d(d, d, 1) for _ in range(4))

    def maps(self, *inputs):
        return (self.split(f(x.mT).mT) for f, x in zip((self.q, self.k, self.v), inputs, strict=True))

    def mix(self, z):
        return self.o(z.mT).mT


class WeightNorm(Attention):
    def make(self, d, d_k):
        super().make(d, d_k)
        self.q = parametrizations.weight_norm(self.q)
        self.o = parametrizations.weight_norm(self.o)


class OldWeightNorm(Attention):
    def make(self, d, d_k):
        super().make(d, d_k)
        with pytest.warns(FutureWarning):
            self.v = nn.utils.weight_norm(self.v)


class LowRank(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.linear = nn.Linear(d, d)
        self.lora_A, self.lora_B = nn.Parameter(torch.randn(2, d)), nn.Parameter(torch.zeros(d, 2))

    def forward(self, x):
        return self.linear(x) + x @ self.lora_A.mT @ self.lora_B.mT


class WithLowRank(Attention):
    def make(self, d, d_k):
        super().make(d, d_k)
        self.q, self.v = LowRank(d), LowRank(d)


class OwnWidth(Attention):
    def make(self, d, d_k):
        self.q, self.k = (nn.Linear(d, 6 * self.num_heads) for _ in range(2))
        self.v, self.o = nn.Linear(d, 7 * self.num_heads), nn.Linear(7 * self.num_heads, d)


class PackedOwnWidth(Attention):
    def make(self, d, d_k):
        self.qkv, self.o = nn.Linear(d, 3 * 6 * self.num_heads), nn.Linear(6 * self.num_heads, d)

    def maps(self, *inputs):
        return (self.split(self.qkv(x).chunk(3, -1)[n]) for n, x in enumerate(inputs))


class KeysFirst(Attention):
    """Packed in an order that no name tells."""

    def make(self, d, d_k):
        self.in_proj, self.out_proj = nn.Linear(d, 3 * d), nn.Linear(d, d)

    def maps(self, *inputs):
        return (self.split(self.in_proj(x).chunk(3, -1)[n]) for n, x in zip((1, 0, 2), inputs, strict=True))

    def mix(self, z):
        return self.out_proj(z)


class KeysFirstOfSelf(KeysFirst):
    def make(self, d, d_k):
        self.in_proj, self.out_proj = nn.Linear(d, 3 * d), nn.Linear(d, d)

    def forward(self, x, mask=None):
        return super().forward(x, x, x, mask)


def wrong(kind):
    return type(f"{kind.__name__}Unscaled", (kind,), {"scaled": False})


KINDS = {
    OutAlone: ("no query, key, value projection", {"heads.heads_may_be_permuted"}),
    Tied: ("value from the map of key, which they share", {"heads.heads_may_be_permuted", "algebra.linear_in_the_values"}),
    NormInOutput: ("out from output.dense.weight", set()),
    PackedConvolution: ("query, key, value from qkv.weight as [H x 3 x d_k, d_model, 1]", set()),
    NoOut: ("no out projection", {"heads.each_head_alone", "heads.heads_may_be_permuted"}),
    NoMaps: ("no query, key, value, out projection", {"heads.each_head_alone", "heads.heads_may_be_permuted"}),
    SharedByHeads: ("query from queries.weight", {"heads.heads_do_not_see_each_other"}),
    EachItsOwn: ("query from to_q.#.weight", set()),
    Convolutions: ("query from q.weight as [H x d_k, d_model, 1]", set()),
    WeightNorm: ("query from q.weight", {"heads.each_head_alone", "heads.heads_may_be_permuted"}),
    KeysFirst: ("key, query, value from in_proj.weight", set()),
    KeysFirstOfSelf: ("key, query, value from in_proj.weight", set()),
    WithLowRank: ("query from q.linear.weight", set()),
    OwnWidth: ("value from v.weight", {"crafted_inputs.output_in_two_clusters"}),
    PackedOwnWidth: ("query, key, value from qkv.weight", {"crafted_inputs.output_in_two_clusters"}),
    OldWeightNorm: ("value from v.weight", {"heads.heads_may_be_permuted"}),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
def test_a_right_module_holds_and_one_without_its_scale_does_not(kind) -> None:
    words, beyond = KINDS[kind]
    found = mhsa.verify(kind, dtypes="float64", properties=FEW)
    assert found, str(found)
    assert words in str(found)
    outcomes = {p.id: p.outcome for p in found.properties}
    assert outcomes["oracle.output_without_mask"] == "pass"
    assert {name for name in beyond if outcomes[name] != "not-applicable"} == set()
    assert mhsa.verify(wrong(kind), dtypes="float64", properties="oracle.output_*").verdict == "violated"


def test_a_value_of_the_keys_map_counts_only_with_an_exact_fit() -> None:
    subject = understand(f"{__file__}:ValueOfKey")
    assert any("value from the map of key" in text for _, text in subject.notes)
    with pytest.raises(Question, match="if the values are those of the key's map, which no name says"):
        understand(Request("x", "x"), target=wrong(ValueOfKey))


def test_maps_within_heads_are_written_where_they_can_hold_the_numbers() -> None:
    subject = understand(f"{__file__}:SharedByHeads")
    module = subject.adapter.build(2, 6)
    view = subject.bind(module, Sizes(2, 3)).query.weight
    block = torch.arange(9.0).view(3, 3)
    view.write(torch.block_diag(block, block))
    assert torch.equal(module.queries.weight, block)
    before = module.queries.weight.clone()
    with pytest.raises(ValueError, match="the heads share one projection of a head's own features"):
        view.write(torch.block_diag(block, 2 * block))
    assert torch.equal(module.queries.weight, before)


def test_low_rank_additions_are_named_as_not_judged() -> None:
    assert understand(f"{__file__}:WithLowRank").not_judged == ("low-rank additions to its projections",)


def test_heads_that_share_keys_are_not_read_as_narrow_ones() -> None:
    class Grouped(Attention):
        def make(self, d, d_k):
            super().make(d, d_k)
            self.k, self.v = (nn.Linear(d, 2 * d_k) for _ in range(2))

        def maps(self, query, key, value):
            k, v = (f(x).unflatten(-1, (2, -1)).transpose(1, 2) for f, x in ((self.k, key), (self.v, value)))
            return self.split(self.q(query)), k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)

    with pytest.raises(Question, match="2 times as narrow") as raised:
        understand("m", target=Grouped(4, 32))
    assert raised.value.declaration == {"kv_heads": "grouped"}
    assert understand(Request("m", "m", contract=raised.value.declaration), target=Grouped(4, 32)).contract.formula.shared


def test_an_out_projection_that_is_not_called_is_no_missing_one() -> None:
    class Forgotten(Attention):
        def mix(self, z):
            return z

    assert mhsa.verify(Forgotten, dtypes="float64", properties="oracle.output_*").verdict == "violated"


def test_maps_in_a_list_of_which_one_is_given_another_input_are_what_they_are_in_the_usual_order() -> None:
    class Listed(Attention):
        def make(self, d, d_k):
            self.layers = nn.ModuleList(nn.Linear(d, d) for _ in range(4))

        def maps(self, query, key, value):
            return (self.split(f(x)) for f, x in zip(self.layers, (query, query, value), strict=False))

        def mix(self, z):
            return self.layers[3](z)

    assert mhsa.verify(Listed, dtypes="float64", properties="oracle.output_*").verdict == "violated"
