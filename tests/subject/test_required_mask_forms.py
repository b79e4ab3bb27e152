"""A form of a mask that was not promised is not a violation; one that is promised, or seen to be taken, is tested."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.records.contract import Contract
from mhsa.subject.docstrings.mask_values import promises
from mhsa.subject.required_mask_forms import must_take


class Plain(nn.Module):
    def __init__(self, heads, dim):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        q, k, v = (
            f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        s = q @ k.mT / k.size(-1) ** 0.5
        if mask is not None:
            s = s.masked_fill(self.hidden(mask), -1e9)
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))

    def hidden(self, mask):
        return ~mask.unsqueeze(1)


class AnyNumber(Plain):
    """Takes masks of any numbers, as long as 0 hides."""

    def hidden(self, mask):
        return (mask == 0).unsqueeze(1)


class WrongForLongRows(AnyNumber):
    """Integers are fine below 9 keys."""

    def hidden(self, mask):
        return (mask == 0 if mask.size(-1) < 9 or mask.dtype == torch.bool else mask == 1).unsqueeze(1)


class BitsOfIntegers(Plain):
    def hidden(self, mask):
        return (~mask).bool().unsqueeze(1)


class PromisesIntegers(BitsOfIntegers):
    """mask: uint8 or bool [B, Tq, Tk]."""


class PromisesToRefuse(BitsOfIntegers):
    mhsa_contract = Contract(shape_mismatch="raises")


class FirstAxisTurned(Plain):
    """A shared mask is read from the end, which was not promised."""

    def hidden(self, mask):
        return super().hidden(mask.flip(-1) if mask.size(0) == 1 < self.batch else mask)

    def forward(self, query, key, value, mask=None):
        self.batch = query.size(0)
        return super().forward(query, key, value, mask)


class PromisesToBroadcast(FirstAxisTurned):
    """The mask may be anything that can be broadcast to [B, Tq, Tk]."""


def as_integers(form, mask):
    return form.to(torch.int64), mask


def of_every_sample(form, mask):
    return form[:1], (mask[:1] | (mask & False))


@pytest.mark.parametrize(
    ("name", "taken"),
    [("Plain", False), ("AnyNumber", True), ("WrongForLongRows", True), ("BitsOfIntegers", False), ("PromisesIntegers", True),
     ("PromisesToRefuse", True)],
)  # fmt: skip
def test_integers_are_asked_for_where_they_are_promised_or_taken(name: str, taken: bool) -> None:
    subject = understand(f"{__file__}:{name}")
    assert must_take(subject, "integers", "int64", "float32", as_integers) is taken


@pytest.mark.parametrize(("name", "taken"), [("Plain", True), ("FirstAxisTurned", False), ("PromisesToBroadcast", True)])
def test_shapes_are_asked_for_where_masks_that_hide_something_are_understood(name: str, taken: bool) -> None:
    subject = understand(f"{__file__}:{name}")
    assert must_take(subject, "shape", "of_every_sample", "float64", of_every_sample) is taken


def test_only_what_is_said_of_masks_promises_anything() -> None:
    assert promises(understand(f"{__file__}:PromisesToBroadcast").adapter, "shape")
    assert not promises(understand(f"{__file__}:PromisesToBroadcast").adapter, "integers")
    assert not promises(understand(f"{__file__}:AnyNumber").adapter, "integers")


def test_what_nobody_promised_is_no_violation_and_what_is_taken_in_part_is_one(mhsa, corpus: Path, tmp_path: Path) -> None:
    right = [corpus / "right" / "loop_over_samples.py", f"{__file__}:BitsOfIntegers", f"{__file__}:FirstAxisTurned"]
    wrong = [f"{__file__}:{name}" for name in ("WrongForLongRows", "PromisesIntegers", "PromisesToBroadcast")]
    mhsa(
        "verify",
        *right,
        *wrong,
        "-k",
        "mask_forms",
        "--profile",
        "ci",
        "--no-diagnosis",
        "--json",
        tmp_path / "o.json",
        cwd=tmp_path,
    )
    subjects = json.loads((tmp_path / "o.json").read_text())["subjects"]
    failed = {s["subject"].rpartition(":")[2]: [p["id"] for p in s["properties"] if p["outcome"] == "fail"] for s in subjects}
    assert [s["verdict"] for s in subjects] == ["holds"] * 3 + ["violated"] * 3, failed
    integers, broadcast = "mask_forms.integers_mean_what_bools_mean", "mask_forms.broadcast_shapes_mean_the_same"
    assert [failed[name][0] for name in ("WrongForLongRows", "PromisesIntegers")] == [integers] * 2
    assert failed["PromisesToBroadcast"] == [broadcast]
