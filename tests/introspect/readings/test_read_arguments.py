"""Arguments that no name tells, masks next to the first one, and switches: each is found by its fit, or is a question."""

from typing import Any

import pytest
import torch

from mhsa.introspect.readings.fit import Fit
from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject.subject import Subject
from tests.helpers.plain_attention import Plain
from tests.helpers.reading_parts import part


def read(name: str, **contract: Any) -> Subject:
    return understand(Request("x", f"{__file__}:{name}", contract=contract))


class Unnamed(Plain):
    """Value, key and query, which no name says."""

    def forward(self, one, two, three):
        return self.attend(three, two, one, None)


class Positions(Plain):
    def forward(self, x, positions):
        return self.attend(x, x, x, None)


class Targets(Plain):
    """What is called as another sequence often is, and is none."""

    def forward(self, x, target=None):
        return self.attend(x, x, x, None)


class DefaultMask(Plain):
    """A mask of size 0 stands for none."""

    def forward(self, query, key, value, mask=torch.ones(0, 0, 0)):  # noqa: B008
        return self.attend(query, key, value, ~mask[:, None].bool() if mask.size(0) else None)


def test_roles_that_no_name_tells_are_found() -> None:
    subject = read("Unnamed")
    assert part(subject, "roles") == ("is called as forward(three=query, two=key, one=value)", "fitted")


def test_what_is_no_key_is_asked_about_or_left_at_its_default() -> None:
    with pytest.raises(Question, match="needs positions"):
        read("Positions")
    subject = read("Targets")
    assert subject.ties == ("all",)
    assert "argument target" in subject.not_judged


def test_a_default_that_stands_for_no_mask_is_left_alone() -> None:
    assert read("DefaultMask").contract.mask_shape == "[B, Tq, Tk]"


class TwoMasks(Plain):
    def forward(self, query, key, value, mask=None, key_padding_mask=None):
        hide = None if mask is None else ~mask[:, None]
        return self.attend(query, key, value, self.with_padding(hide, key_padding_mask))

    def with_padding(self, hide, padding):
        if padding is None:
            return hide
        return padding[:, None, None] if hide is None else hide | padding[:, None, None]


class PaddingTurnedRound(TwoMasks):
    def with_padding(self, hide, padding):
        return super().with_padding(hide, None if padding is None else ~padding)


class PaddingReplacesMask(TwoMasks):
    def with_padding(self, hide, padding):
        return hide if padding is None else padding[:, None, None]


class PaddingWrittenIntoTheMask(TwoMasks):
    def forward(self, query, key, value, mask=None, key_padding_mask=None):
        if mask is not None and key_padding_mask is not None:
            mask &= ~key_padding_mask[:, None]
        return super().forward(query, key, value, mask, key_padding_mask)


class OneMaskAtATime(TwoMasks):
    def with_padding(self, hide, padding):
        if hide is not None and padding is not None:
            raise ValueError("one mask alone")
        return super().with_padding(hide, padding)


class PaddingOfTheWrongSamples(TwoMasks):
    def with_padding(self, hide, padding):
        return super().with_padding(hide, None if padding is None else padding.flip(0))


class Context(Plain):
    """A mask [B, T] for each of the two sequences: True for tokens, False for padding."""

    def forward(self, x, context=None, mask=None, context_mask=None):
        source, mask = (x, mask) if context is None else (context, context_mask)
        return self.attend(x, source, source, None if mask is None else ~mask[:, None, None])


class ContextIgnored(Plain):
    """Padding of the query hides keys of the context."""

    def forward(self, x, context=None, mask=None, context_mask=None):
        source = x if context is None else context
        return self.attend(x, source, source, None if mask is None else ~mask[:, None, None])


class Switch(Plain):
    def forward(self, x, causal_mask=False):
        return self.attend(x, x, x, ~torch.ones(x.size(1), x.size(1), dtype=torch.bool).tril() if causal_mask else None)


def test_a_second_mask_is_tried_alone_and_together_with_the_first() -> None:
    subject = read("TwoMasks")
    words = [u.text for u in subject.understood if u.part == "mask"]
    assert "key_padding_mask: hides what the mask marks with True, [B, Tk]; tried alone and together with mask" in words
    assert subject.not_judged == ("argument key_padding_mask beyond 3 masks alone and together with mask",)


def test_a_second_mask_that_contradicts_its_name_is_said() -> None:
    against = "argument key_padding_mask: attends where the mask is True, [B, Tk], against what its name"
    assert any(words.startswith(against) for words in read("PaddingTurnedRound").not_judged)


def test_a_second_mask_that_replaces_the_first_is_violated() -> None:
    subject = read("PaddingReplacesMask")
    assert subject.not_judged == ("argument key_padding_mask together with mask",)
    assert subject.wrong_pair == "key_padding_mask and mask together do not hide what each of them hides alone"
    found = verify(f"{__file__}:PaddingReplacesMask", dtypes="float64", properties="oracle.*")
    assert [p.id for p in found.properties if p.outcome == "fail"] == ["oracle.output_under_masks"]
    assert (
        read("PaddingWrittenIntoTheMask").wrong_pair == "a call with key_padding_mask and mask together writes into one of them"
    )
    assert (read("TwoMasks").wrong_pair, read("OneMaskAtATime").wrong_pair) == ("", "")
    assert verify(f"{__file__}:OneMaskAtATime", dtypes="float64", properties="oracle.*")


def test_a_padding_of_keys_that_is_right_in_no_reading_is_judged_instead() -> None:
    subject = read("PaddingOfTheWrongSamples")
    assert subject.adapter.describe().startswith("forward(query, key, value, key_padding_mask=mask)")
    assert (subject.contract.mask, subject.contract.mask_shape) == ("blocked", "[B, Tk]")
    assert not Fit().with_mask(subject)


def test_the_mask_of_the_context_hides_its_keys() -> None:
    subject = read("Context")
    assert (subject.contract.mask, subject.contract.mask_shape) == ("allowed", "[B, Tk]")
    assert subject.adapter.describe() == "forward(x=query, context=key, context_mask=mask)"
    assert "argument mask" not in subject.not_judged
    wrong = read("ContextIgnored")
    assert part(wrong, "mask")[1] == "default"
    assert wrong.adapter.describe() == subject.adapter.describe()


def test_a_switch_is_no_mask() -> None:
    subject = read("Switch")
    assert not subject.adapter.takes_mask
    assert subject.not_judged == (), "it is judged in both positions"
