"""Ways of calling that public code has: masks that must be there, keys that may be left out, arguments of odd names."""

import pytest
import torch

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify
from mhsa.records.errors import Question
from mhsa.records.names import is_lengths
from mhsa.records.understood import Understood
from mhsa.subject.subject import Subject
from tests.helpers.layers import Layers, fails


class NeedsItsMask(Layers):
    """Says that the mask may be None, and looks at its sizes."""

    def forward(self, query, key, value, mask=None):
        return self.attend(query, key, value, mask == 0 if mask.size(-1) else None)


class NeedsItsMaskAndHidesOneKeyLess(Layers):
    def forward(self, query, key, value, mask=None):
        return self.attend(query, key, value, (mask == 0).roll(1, -1))


class Forgetful(Layers):
    """Its ``eval()`` returns None, as its ``train`` does."""

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)

    def forward(self, query, key, value):
        return self.attend(query, key, value)


class FailsForUnequalLengths(Layers):
    """Can do without a mask where there are as many queries as keys."""

    def forward(self, query, key, value, mask=None):
        if mask is None:
            mask = torch.ones(query.size(0), query.size(1), query.size(1), dtype=torch.bool).expand(-1, -1, key.size(1))
        return self.attend(query, key, value, ~mask)


class OptionalKeys(Layers):
    def forward(self, x, k_x=None, v_x=None, attn_mask=None):
        key = x if k_x is None else k_x
        return self.attend(x, key, key if v_x is None else v_x, None if attn_mask is None else ~attn_mask)


class OptionalKeysAndKeysForValues(OptionalKeys):
    def forward(self, x, k_x=None, v_x=None, attn_mask=None):
        return super().forward(x, k_x, k_x, attn_mask)


class SelfAttentionGoesWrong(OptionalKeys):
    def forward(self, x, k_x=None, v_x=None, attn_mask=None):
        return super().forward(x, k_x, 2 * x if v_x is None else v_x, attn_mask)


class OneLength(Layers):
    """Splits all three with the length of the key.

    Args:
        query: [batch x length x width]
        key: [batch x length x width]
        value: [batch x length x width]
    """

    def forward(self, query, key, value):
        return self.attend(query.reshape(key.shape), key, value)


class OneLengthAndFlipped(OneLength):
    def forward(self, query, key, value):
        return super().forward(query, key, value).flip(1)


class OneLengthUndocumented(OneLength):
    """Says nothing."""


class CallsItself(Layers):
    """Has no forward, is given the number of samples, and returns the tokens of all of them in one axis."""

    def __call__(self, x, batch_size, x_mask):
        x = x.reshape(batch_size, -1, x.size(-1))
        return self.attend(x, x, x, None if x_mask is None else ~x_mask).flatten(0, 1)


class CallsItselfAndMixesSamples(CallsItself):
    def __call__(self, x, batch_size, x_mask):
        return super().__call__(x, batch_size, x_mask).unflatten(0, (-1, batch_size)).transpose(0, 1).flatten(0, 1)


class NeedsOddities(Layers):
    def forward(self, query, key, value, mask, training, oddity, seq_len):
        assert oddity is None
        assert not training
        assert seq_len == query.size(1)
        return self.attend(query, key, value, None if mask is None else ~mask)


class NeedsAnOddity(Layers):
    def forward(self, query, key, value, oddity):
        return self.attend(query, key, value if oddity is not None else key)


class FailsWithoutAnOddity(Layers):
    def forward(self, query, key, value, oddity):
        return self.attend(query + oddity, key, value)


def read(name: str) -> Subject:
    return understand(f"{__file__}:{name}", ("float64",))


@pytest.mark.parametrize("name", ["NeedsItsMask", "OptionalKeys", "OneLength", "CallsItself", "NeedsOddities"])
def test_it_is_read_and_right(name: str) -> None:
    assert not fails(f"{__file__}:{name}")


@pytest.mark.parametrize(
    "name",
    [
        "NeedsItsMaskAndHidesOneKeyLess",
        "FailsForUnequalLengths",
        "OptionalKeysAndKeysForValues",
        "CallsItselfAndMixesSamples",
        "OneLengthAndFlipped",
    ],
)
def test_no_reading_explains_a_bug_away(name: str) -> None:
    assert fails(f"{__file__}:{name}")


def test_one_length_that_nothing_documents_is_a_question() -> None:
    with pytest.raises(Question) as raised:
        read("OneLengthUndocumented")
    assert raised.value.declaration == {"lengths": "equal"}


def test_a_mask_that_cannot_be_left_out_is_given_and_said() -> None:
    subject = read("NeedsItsMask")
    assert subject.caller.fills_mask
    assert any(words.startswith("calls without a mask, which all raise (AttributeError") for words in subject.not_judged)
    assert not read("FailsForUnequalLengths").caller.fills_mask


def test_a_train_that_returns_nothing_does_no_harm() -> None:
    assert verify(Forgetful, properties=("oracle.*", "copies.*", "modes.*", "dropout.*")).verdict == "holds"


@pytest.mark.parametrize("name", ["NeedsAnOddity", "FailsWithoutAnOddity"])
def test_an_argument_of_an_unknown_name_is_asked_about_where_none_is_not_it(name: str) -> None:
    with pytest.raises(Question, match=r"needs oddity, and mhsa does not know what to give\. Describe the call"):
        read(name)


def test_what_a_call_is_given_is_said() -> None:
    call = dict(read("NeedsOddities").notes)["call"]
    assert call == "forward(query, key, value, mask, training=False, seq_len=T, oddity=None)"


def test_one_length_is_said() -> None:
    subject = read("OneLength")
    assert subject.adapter.inputs == "x"
    said = "self-attention alone: query and key and value are documented as [batch x length x width]"
    assert any(each.text.startswith(said) for each in subject.understood)


def test_calls_without_keys_are_tried_and_said() -> None:
    text = "without k_x and v_x it gives self-attention, on 3 inputs that were tried"
    assert Understood("roles", text, "fitted") in read("OptionalKeys").understood
    assert read("OptionalKeys").not_judged == ()
    words = "calls without k_x and v_x, which do not give the self-attention of x"
    assert read("SelfAttentionGoesWrong").not_judged == (words,)


class LengthsOfTheEncoder(Layers):
    def forward(self, dec, enc, enc_lens=None):
        hide = None if enc_lens is None else self.beyond(torch.arange(enc.size(1)), enc_lens[:, None])[:, None]
        return self.attend(dec, enc, enc, hide)

    def beyond(self, places, lens):
        return places >= lens


class OneKeyTooMany(LengthsOfTheEncoder):
    def beyond(self, places, lens):
        return places > lens


def test_lengths_are_those_of_the_keys_by_their_name() -> None:
    assert all(map(is_lengths, ("enc_lens", "src_lengths", "memory_lens", "kvlens", "x_lens")))
    assert not any(map(is_lengths, ("tgt_lens", "q_lens", "query_lengths", "lens_weight", "seq_len")))
    assert read("LengthsOfTheEncoder").contract.mask == "lengths"
    assert not fails(f"{__file__}:LengthsOfTheEncoder")
    assert fails(f"{__file__}:OneKeyTooMany")
