"""A switch of causality is judged in both positions; other options that are left at their defaults are named."""

import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

from mhsa.introspect.readings.switches import is_causality
from mhsa.introspect.resolve import understand
from mhsa.judge.script.recorded_calls import Recorder
from mhsa.judge.script.standalone_script import write_script
from mhsa.judge.verification import verify
from mhsa.records.request import Request
from mhsa.subject import check
from mhsa.subject.generic_inputs import generic_case
from mhsa.subject.subject import in_a_position
from mhsa.subject.trial import Trial


class Switched(nn.Module):
    """Attention in which ``self.on`` hides the keys from the diagonal on."""

    diagonal = 1

    def __init__(self, num_heads: int, d_model: int, causal: bool = False, gain: float = 1.0) -> None:
        super().__init__()
        assert d_model % num_heads == 0
        self.num_heads, self.on, self.gain = num_heads, causal, gain
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def attend(self, query, key, value, on):
        q, k, v = (
            f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        s = q @ k.mT / k.size(-1) ** 0.5
        if on:
            s = s.masked_fill(self.hidden(q.size(2), k.size(2)), -1e9)
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))

    def hidden(self, queries, keys):
        return torch.ones(queries, keys, dtype=torch.bool).triu(self.diagonal)

    def forward(self, query, key, value):
        return self.attend(query, key, value, self.on)


class SeesOneMore(Switched):
    diagonal = 2


class Ignored(Switched):
    def forward(self, query, key, value):
        return self.attend(query, key, value, False)


class AtTheEnd(Switched):
    def hidden(self, queries, keys):
        return torch.ones(queries, keys, dtype=torch.bool).triu(1 + keys - queries)


class NeedsSquares(Switched):
    def hidden(self, queries, keys):
        return torch.ones(queries, queries, dtype=torch.bool).triu(1)[:, :keys] if queries == keys else self.not_square()

    def not_square(self):
        raise ValueError("as many queries as keys")


class Raises(Switched):
    def hidden(self, queries, keys):
        raise NotImplementedError


class Documented(Switched):
    """Attention.

    Args:
        mask: whether to hide the future.
    """

    def __init__(self, num_heads, d_model, mask=False):
        super().__init__(num_heads, d_model, mask)


class DocumentedAndWrong(Documented):
    __doc__ = Documented.__doc__
    diagonal = 2


class InTheCall(Switched):
    def __init__(self, num_heads, d_model):
        super().__init__(num_heads, d_model)

    def forward(self, query, key, value, is_causal=False):
        return self.attend(query, key, value, is_causal)


class InTheCallAndWrong(InTheCall):
    diagonal = 0


class Hint(InTheCall):
    def forward(self, query, key, value, is_causal=False):
        return self.attend(query, key, value, False)


class OnByDefault(Switched):
    def __init__(self, num_heads, d_model, causal=True):
        super().__init__(num_heads, d_model, causal)


class NeverOff(OnByDefault):
    def forward(self, query, key, value):
        return self.attend(query, key, value, True)


def inverted(q, k, v, causal=False):
    s = q @ k.mT / k.size(-1) ** 0.5
    if causal:
        s = s.masked_fill(torch.ones(s.shape[-2:], dtype=torch.bool).tril(-1), -1e9)
    return s.softmax(-1) @ v


def judged(name: str, causal: str | None = None):
    contract = {"causal": causal} if causal else None
    return verify(f"{__file__}:{name}", contract=contract, dtypes="float64", properties="oracle.output_without_mask")


@pytest.mark.parametrize("name", ["Switched", "AtTheEnd", "NeedsSquares", "Documented", "InTheCall"])
def test_a_switch_that_works_holds_and_is_not_among_what_is_not_judged(name: str) -> None:
    subject = understand(f"{__file__}:{name}")
    assert len(subject.switches) == 1
    assert any("=True: is causal" in each.text for each in subject.understood)
    assert not [words for words in subject.not_judged if "causal" in words or "mask" in words]
    assert judged(name)


@pytest.mark.parametrize("name", ["SeesOneMore", "Ignored", "DocumentedAndWrong", "InTheCallAndWrong", "inverted"])
def test_a_switch_that_does_something_else_is_violated(name: str) -> None:
    found = judged(name)
    assert not found
    assert "=True, output" in str(found)


def test_what_cannot_be_turned_is_named_with_the_reason() -> None:
    words = "constructor argument causal: with causal=True it raises NotImplementedError"
    assert words in understand(f"{__file__}:Raises").not_judged
    assert judged("Raises")
    hint = understand(f"{__file__}:Hint")
    assert hint.not_judged == ("argument is_causal",)
    assert "is_causal=True changes nothing without a mask" in dict(hint.notes)["call"]
    assert judged("Hint")


def test_a_switch_that_is_on_is_judged_off_as_well() -> None:
    assert judged("OnByDefault", "top-left")
    found = judged("NeverOff", "top-left")
    assert not found
    assert "causal=False, output" in str(found)


def test_other_options_are_named() -> None:
    assert understand(f"{__file__}:Switched").not_judged == ("constructor argument gain",)
    assert understand(Request("x", f"{__file__}:Switched", arguments={"gain": 2.0})).not_judged == ()


def test_a_stand_alone_script_turns_the_switch(tmp_path: Path) -> None:
    subject = understand(f"{__file__}:Switched")
    case = generic_case(subject, seed=1)
    with check.recording() as record:
        record.recorder = Recorder()
        turned, case, words = in_a_position(subject, case)
        assert words == "with causal=True, output"
        Trial(turned, case)()
        request = Request("x", f"{__file__}:Switched")
        write_script(tmp_path / "s.py", request, subject, "oracle.x", "words", "message", record.recorder.calls)
    assert "causal=True" in (tmp_path / "s.py").read_text()
    runpy.run_path(str(tmp_path / "s.py"))  # raises where a number is off by more than rounding


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("causal", True), ("is_causal", True), ("use_causal_mask", True), ("autoregressive", True), ("mask_future", True),
     ("mask", False), ("causal_conv", False), ("non_causal", False)],
)  # fmt: skip
def test_names_of_switches(name: str, is_one: bool) -> None:
    assert is_causality(name) == is_one


class SaysWhere(Switched):
    """Causal attention is right-aligned where there are more keys than queries."""


class SaysWhereAndIsThere(SaysWhere):
    def hidden(self, queries, keys):
        return torch.ones(queries, keys, dtype=torch.bool).triu(1 + keys - queries)


class Masked(Switched):
    """No name says what its switch does."""

    def __init__(self, num_heads: int, d_model: int, masked: bool = False) -> None:
        super().__init__(num_heads, d_model, masked)

    def hidden(self, queries, keys):
        return torch.ones(queries, keys, dtype=torch.bool).triu(1)


class MaskedOnePlaceTooLate(Masked):
    def hidden(self, queries, keys):
        return torch.ones(queries, keys, dtype=torch.bool).triu(2)


class MaskedTheWrongWay(Masked):
    def hidden(self, queries, keys):
        return torch.ones(queries, keys, dtype=torch.bool).tril(-1)


class MaskedBackwards(MaskedTheWrongWay):
    """Its switch hides the tokens before each query, as in right-to-left decoding."""


class MaskedOtherwise(Masked):
    def __init__(self, num_heads: int, d_model: int, masked: bool = False) -> None:
        super().__init__(num_heads, d_model, masked)
        self.register_buffer("triangle", torch.ones(4, 4).tril(), persistent=False)

    def hidden(self, queries, keys):
        return torch.eye(queries, keys, dtype=torch.bool)


def test_a_switch_is_aligned_as_its_docstring_says() -> None:
    assert understand(f"{__file__}:SaysWhereAndIsThere").switches[0].contract.causal == "bottom-right"
    assert judged("SaysWhereAndIsThere")
    assert judged("SaysWhere").verdict == "violated"


def test_a_switch_of_masks_next_to_a_triangle_is_judged_where_it_fits() -> None:
    assert [switch.words for switch in understand(f"{__file__}:Masked").switches] == ["masked=True"]
    late = understand(f"{__file__}:MaskedOnePlaceTooLate")
    assert [(switch.words, switch.contract.causal) for switch in late.switches] == [("masked=True", "top-left")]
    assert judged("MaskedOnePlaceTooLate").verdict == "violated"
    assert judged("MaskedTheWrongWay").verdict == "violated"
    assert judged("MaskedBackwards")
    subject = understand(f"{__file__}:MaskedOtherwise")
    assert not subject.switches
    assert "constructor argument masked: with masked=True it is not exactly causal attention" in subject.not_judged


def later(queries, keys, first):
    return torch.ones(queries, keys, dtype=torch.bool).triu(first)


class AsksAHelper(nn.Module):
    """It attends with what a function of the file hides, as many public modules do."""

    first = 2  # one place too late

    def __init__(self, num_heads: int, d_model: int, mask: bool = False) -> None:
        super().__init__()
        self.num_heads, self.mask = num_heads, mask
        self.qkv, self.proj = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=-1))
        scores = q @ k.mT / q.size(-1) ** 0.5
        if self.mask:
            scores = scores.masked_fill(later(*scores.shape[-2:], self.first), -torch.inf)
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class AsksAHelperRightly(AsksAHelper):
    first = 1


def test_a_triangle_may_be_made_by_a_function_of_the_file() -> None:
    late, right = (understand(f"{__file__}:{name}") for name in ("AsksAHelper", "AsksAHelperRightly"))
    assert [switch.words for switch in late.switches] == [switch.words for switch in right.switches] == ["mask=True"]
    assert judged("AsksAHelper").verdict == "violated"
    assert judged("AsksAHelperRightly").verdict != "violated"
