"""A finite number that hides masked keys: found, a question where only it is wrong, a violation where it is too small."""

import pytest
import torch
from torch import nn

import mhsa
from mhsa.introspect.resolve import understand
from mhsa.oracle.formula.fields import Fill
from mhsa.records.contract import Contract
from mhsa.records.request import Request
from tests.helpers.layers import Layers
from tests.helpers.places import CORPUS

TOLD = "masks.masked_keys_stay_masked_below_every_score"
NUMBER = "fills.the_number_is_the_declared_one"
POISONED = "masks.masked_keys_have_no_influence"


class Filled(Layers):
    number = -10000.0

    def forward(self, query, key, value, mask=None):
        q, k, v = (
            f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        s = q @ k.mT * self.scale
        s = s if mask is None else self.hide(s, ~mask[:, None])
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))

    def hide(self, s, hidden):
        return s.masked_fill(hidden, self.number)


class LeastHalf(Filled):
    number = -65504.0 / 2


class Far(Filled):
    number = -1e9


class TooSmall(Filled):
    number = -1000.0


class Added(Filled):
    def hide(self, s, hidden):
        return s + hidden.to(s.dtype) * -10000.0


class Multiplied(Filled):
    def hide(self, s, hidden):
        seen = 1.0 - hidden.to(s.dtype)
        return s * seen - 10000.0 * (1.0 - seen)


class AddedTooSmall(Filled):
    def hide(self, s, hidden):
        return s + hidden.to(s.dtype) * -100.0


class HalfOfTheHeads(Filled):
    def hide(self, s, hidden):
        return s + hidden.to(s.dtype) * torch.linspace(-20000.0, -10000.0, s.size(1), dtype=s.dtype)[:, None, None]


class OwnTokens(Filled):
    def forward(self, x, mask=None):
        return super().forward(x, x, x, mask)


class OwnTokensAdded(OwnTokens):
    hide = Added.hide


class Padded(nn.Module):
    def __init__(self, num_heads, d_model):
        super().__init__()
        self.inner = Filled(num_heads, d_model)

    def forward(self, x, key_padding_mask=None):
        mask = None if key_padding_mask is None else ~key_padding_mask[:, None]
        return self.inner(x, x, x, mask)


@pytest.mark.parametrize(
    ("kind", "fill"),
    [
        (Filled, Fill(-10000.0)),
        (LeastHalf, Fill(-32752.0)),
        (Added, Fill(-10000.0, "added")),
        (Multiplied, Fill(-10000.0)),
        (OwnTokens, Fill(-10000.0)),
        (Padded, Fill(-10000.0)),
        (Far, None),
        (TooSmall, None),
        (AddedTooSmall, None),
        (HalfOfTheHeads, None),
        (OwnTokensAdded, None),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_the_number_is_found_by_calling(kind: type[nn.Module], fill: Fill | None) -> None:
    assert understand(f"{__file__}:{kind.__name__}").fill == fill


@pytest.mark.parametrize(
    ("kind", "told", "declared"),
    [
        (Filled, TOLD, -10000.0),
        (LeastHalf, TOLD, -32752.0),
        (OwnTokens, TOLD, -10000.0),
        (Added, POISONED, {"number": -10000.0, "how": "added"}),
    ],
)
def test_it_is_a_question_and_holds_as_declared(kind: type[nn.Module], told: str, declared: object) -> None:
    asked = mhsa.verify(kind, properties=[told, "oracle.*"])
    assert asked.verdict == "question"
    assert asked.declaration == {"fill": declared}
    assert "a finite number in place of -inf" in asked.reason
    assert mhsa.verify(kind, contract={"fill": declared}, properties=[told, NUMBER, "fully_masked_rows.*"])


def test_a_question_is_put_once() -> None:
    asked = mhsa.verify(Added, properties=[POISONED, "masks.every_head_is_masked"])
    assert asked.reason.count("a finite number") == 1


@pytest.mark.parametrize("kind", [TooSmall, AddedTooSmall, HalfOfTheHeads])
def test_what_ordinary_scores_undercut_is_violated(kind: type[nn.Module]) -> None:
    assert mhsa.verify(kind, properties=[TOLD, POISONED]).verdict == "violated"


def test_what_fails_otherwise_is_violated() -> None:
    """The number does not excuse another bug."""

    class NotScaled(Filled):
        def __init__(self, num_heads, d_model):
            super().__init__(num_heads, d_model)
            self.scale = 1.0

    assert mhsa.verify(NotScaled, properties=[TOLD, "oracle.*"]).verdict == "violated"


@pytest.mark.parametrize(
    ("kind", "declared"),
    [(Filled, -10001.0), (Filled, {"number": -10000.0, "how": "added"}), (Added, -10000.0), (Far, -10000.0)],
)
def test_another_number_than_the_declared_one_is_violated(kind: type[nn.Module], declared: object) -> None:
    assert mhsa.verify(kind, contract={"fill": declared}, properties=NUMBER).verdict == "violated"


def test_what_no_property_could_see_is_not_taken_for_a_promise() -> None:
    for kind, fill, why in (
        (OwnTokensAdded, {"number": -10000.0, "how": "added"}, "masked keys are queries, too"),
        (nn.Identity, -10000.0, ""),
    ):
        found = mhsa.verify(kind, contract={"fill": fill})
        assert found.verdict in ("question", "unjudged")
        assert why in found.reason


def test_no_fill_can_be_declared_and_a_finite_number_is_violated_then() -> None:
    contract = Contract(fill="none")
    assert contract.formula == Contract().formula
    subject = understand(Request.of(str(CORPUS / "foreign" / "fill_for_half.py"), contract={"fill": "none"}))
    assert subject.fill is None
    assert subject.contract.fill == "none"
