"""A mask of the keys that is taken only together with one of the queries."""

import pytest
import torch

from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.records.understood import Understood
from tests.helpers.layers import Layers, fails


def both(query_mask, key_mask):
    return ~(query_mask[:, :, None] & key_mask[:, None])


class Masks(Layers):
    def forward(self, query, key, value, q_mask=None, kv_mask=None):
        return self.attend(query, key, value, None if kv_mask is None else both(q_mask, kv_mask))


class MarksPadding(Layers):
    def forward(self, query, key, value, q_mask=None, kv_padding_mask=None):
        hide = None if kv_padding_mask is None else q_mask[:, :, None] | kv_padding_mask[:, None]
        return self.attend(query, key, value, hide)


class MasksAndKeysForValues(Masks):
    def forward(self, query, key, value, q_mask=None, kv_mask=None):
        return super().forward(query, key, key, q_mask, kv_mask)


class MasksTheWrongKeys(Masks):
    def forward(self, query, key, value, q_mask=None, kv_mask=None):
        return super().forward(query, key, value, q_mask, kv_mask if kv_mask is None else kv_mask.roll(1, -1))


class MayBeLeftOut(Layers):
    def forward(self, query, key, value, q_mask=None, kv_mask=None):
        if kv_mask is not None and q_mask is None:
            q_mask = kv_mask.new_ones(query.shape[:2])
        return self.attend(query, key, value, None if kv_mask is None else both(q_mask, kv_mask))


class NeedsBoth(Layers):
    """Entities, of which those that post_mask marks give zeros."""

    def forward(self, entities, pre_mask=None, post_mask=None):
        found = self.attend(entities, entities, entities, pre_mask[:, : post_mask.size(1)])
        return found.masked_fill(post_mask[:, :, None], 0.0)


class NeedsBothAndIsNotScaled(NeedsBoth):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.scale = 1.0


def core(queries, keys, values, q_mask=None, kv_mask=None):
    """On [B, T, H, d]."""
    s = torch.einsum("bqhd,bkhd->bhqk", queries, keys) / queries.size(-1) ** 0.5
    s = s if kv_mask is None else s.masked_fill(both(q_mask, kv_mask)[:, None], -1e9)
    return torch.einsum("bhqk,bkhd->bqhd", s.softmax(-1), values)


def core_without_scale(queries, keys, values, q_mask=None, kv_mask=None):
    return core(queries * queries.size(-1) ** 0.5, keys, values, q_mask, kv_mask)


def test_every_query_is_allowed_and_said() -> None:
    for name in ("Masks", "core"):
        subject = understand(f"{__file__}:{name}", ("float64",))
        said = "q_mask allows every query: kv_mask cannot be given without it"
        assert Understood("call", said, "fitted") in subject.understood
        assert "argument q_mask" in subject.not_judged
        assert subject.contract.mask_shape == "[B, Tk]"
        assert not fails(f"{__file__}:{name}")


def test_a_mask_that_hides_has_one_of_queries_that_hides_none() -> None:
    assert not fails(f"{__file__}:MarksPadding")


def test_it_explains_no_bug_away() -> None:
    assert fails(f"{__file__}:MasksAndKeysForValues")
    assert fails(f"{__file__}:MasksTheWrongKeys")
    assert fails(f"{__file__}:core_without_scale")


def test_where_it_may_be_left_out_it_is() -> None:
    assert not understand(f"{__file__}:MayBeLeftOut", ("float64",)).adapter.query_mask


def test_a_second_mask_of_any_name_is_one_of_queries_where_that_fits() -> None:
    with pytest.raises(Question, match="hides what the mask marks with True"):
        understand(f"{__file__}:NeedsBoth", ("float64",))
    subject = understand(Request("x", f"{__file__}:NeedsBoth", contract={"mask": "blocked"}))
    said = "post_mask allows every query: pre_mask cannot be given without it"
    assert Understood("call", said, "fitted") in subject.understood
    assert "argument post_mask" in subject.not_judged


def test_a_second_mask_that_fits_in_no_way_is_a_question() -> None:
    with pytest.raises(Question, match="forward needs pre_mask and post_mask, and mhsa does not know what to give"):
        understand(f"{__file__}:NeedsBothAndIsNotScaled", ("float64",))


class AddsTwo(Layers):
    """Both masks are needed and added: one of them is [B, T, 1]."""

    def forward(self, x, attn_mask, token_mask):
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        scores = q @ k.mT * self.scale + (attn_mask + token_mask).unsqueeze(1)
        return self.o((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class AddsTwoTheOtherWayRound(AddsTwo):
    def forward(self, x, mask, pairs_mask):
        if mask.size(-1) != 1:
            raise ValueError("a mask [B, T, 1] of the tokens")
        return super().forward(x, pairs_mask, mask)


class AddsTwoAndIsNotScaled(AddsTwo):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__(num_heads, d_model)
        self.scale = 1.0


class AddsTwoAndTakesOneTwice(AddsTwo):
    def forward(self, x, attn_mask, token_mask):
        return super().forward(x, attn_mask.roll(1, -1), token_mask)


@pytest.mark.parametrize(
    ("name", "mask", "second"),
    [("AddsTwo", "attn_mask", "token_mask"), ("AddsTwoTheOtherWayRound", "pairs_mask", "mask")],
)
def test_two_masks_are_added_of_which_one_has_an_axis_of_size_one(name: str, mask: str, second: str) -> None:
    contract = {"mask": "additive", "fully_masked_row": "nan", "reason": "softmax of -inf alone"}
    subject = understand(Request("x", f"{__file__}:{name}", contract=contract))
    said = f"{second} allows every query: {mask} cannot be given without it"
    assert Understood("call", said, "fitted") in subject.understood
    assert f"argument {second}" in subject.not_judged


@pytest.mark.parametrize("name", ["AddsTwoAndIsNotScaled", "AddsTwoAndTakesOneTwice"])
def test_added_masks_explain_no_bug_away(name: str) -> None:
    with pytest.raises(Question, match="forward needs attn_mask and token_mask, and mhsa does not know what to give"):
        understand(f"{__file__}:{name}", ("float64",))
