"""What an adapter calls views of the parameters must be that, or nothing that is judged is true of its module."""

import pytest
import torch
from torch import nn

import mhsa
from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from mhsa.subject.parameter_layout import Sizes


class Packed(nn.Module):
    def __init__(self, heads, dim, shared=1):
        super().__init__()
        self.heads, self.shared, self.dim = heads, shared, dim
        self.q, self.kv, self.o = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim // shared), nn.Linear(dim, dim)

    def forward(self, query, key, value):
        k, v = self.kv.weight.chunk(2)[0], self.kv.weight.chunk(2)[1]
        b, c = self.kv.bias.chunk(2)
        split = [
            x.unflatten(-1, (-1, self.dim // self.heads)).transpose(1, 2)
            for x in (self.q(query), nn.functional.linear(key, k, b), nn.functional.linear(value, v, c))
        ]
        q, k, v = split[0], *(x.repeat_interleave(self.shared, 1) for x in split[1:])
        return self.o(((q @ k.mT / k.size(-1) ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))


class Views(mhsa.Adapter):
    takes_mask = False

    def build(self, head, d_model):
        return Packed(head, d_model)

    def call(self, module, query, key, value, mask):
        return module(query, key, value)

    def maps(self, module):
        (k, v), (b, c) = module.kv.weight.chunk(2), module.kv.bias.chunk(2)
        return [(module.q.weight, module.q.bias), (k, b), (v, c), (module.o.weight, module.o.bias)]

    def projections(self, module):
        return mhsa.Projections.of_linears(*self.maps(module))


class Cloned(Views):
    def maps(self, module):
        q, k, (v, c), o = super().maps(module)
        return [q, k, (v.clone(), c), o]


class CopiedBias(Views):
    def maps(self, module):
        q, k, v, (o, b) = super().maps(module)
        return [q, k, v, (o, b + 0)]


class Kept(Views):
    """Makes the copies once, so that what is written into them is read back from them."""

    def maps(self, module):
        if not hasattr(module, "copies"):
            object.__setattr__(module, "copies", [(w.detach().clone(), b.detach().clone()) for w, b in super().maps(module)])
        return module.copies


class Grouped(Views):
    def build(self, head, d_model):
        return Packed(head, d_model, shared=2)

    def maps(self, module):
        d_k = module.dim // module.heads
        q, *kv, o = super().maps(module)
        each = [tuple(x.unflatten(0, (-1, d_k)).repeat_interleave(2, 0).flatten(0, 1) for x in pair) for pair in kv]
        return [q, *each, o]


class Expanded(Views):
    """A bias of one number, shown as one of many."""

    def build(self, head, d_model):
        module = super().build(head, d_model)
        module.o = nn.Linear(d_model, d_model, bias=False)
        module.one = nn.Parameter(torch.zeros(1))
        return module

    def maps(self, module):
        *three, (o, _) = [*super().maps(module)[:3], (module.o.weight, None)]
        return [*three, (o, module.one.expand(module.dim))]


class Convolved(Views):
    def maps(self, module):
        (w, b), *rest = super().maps(module)
        return [(w[..., None], b), *rest]


def test_views_of_parameters_are_understood_and_left_as_they_were() -> None:
    subject = understand(f"{__file__}:Views")
    module = subject.adapter.build(2, 6)
    before = [p.detach().clone() for p in module.parameters()]
    subject.bind(module, Sizes(2, 3)).key.weight.write(torch.zeros(6, 6))
    assert not module.kv.weight[:6].any()
    assert torch.equal(module.kv.weight[6:], before[2][6:])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Cloned", "Cloned.projections(): value.weight is not a view of a parameter"),
        ("CopiedBias", "CopiedBias.projections(): out.bias is not a view of a parameter"),
        ("Kept", "Kept.projections(): query.weight is not a view of a parameter"),
        ("Grouped", "Grouped.projections(): key.weight is not a view of a parameter"),
        ("Expanded", "out.bias is not a view of a parameter: several of its elements are one number in memory"),
        ("Convolved", "query.weight has shape [20, 20, 1]; must be [D_out, D_in]"),
    ],
)
def test_what_is_no_view_is_asked_about_by_its_name(name: str, words: str) -> None:
    with pytest.raises(Question) as raised:
        understand(f"{__file__}:{name}")
    said = " ".join(str(raised.value).split())
    assert words in said
    assert "Return the parameter itself, or a slice" in said or "select() and squeeze() give views" in said


def test_numbers_that_do_not_arrive_are_noticed_wherever_the_memory_lies() -> None:
    """A weight that is computed from a parameter at every read may even share memory with another one."""
    from mhsa.introspect.writable_views import require_views

    module = nn.Module()
    module.w, module.other = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    turns = iter(range(100))

    def projections(_: nn.Module) -> mhsa.Projections:
        w = module.w if next(turns) % 2 == 0 else module.other  # another one each time
        return mhsa.Projections.of_linears(*[(w, None)] * 4)

    with pytest.raises(Question, match=r"numbers\s+that are written into it do not arrive"):
        require_views(projections, module, "projections()")
    assert bool((module.w == 1).all())
    assert bool((module.other == 1).all())
