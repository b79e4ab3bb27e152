"""Modules that are timed, or are not, and measurements and profiles that are made up: for tests of what measures times."""

from dataclasses import replace

from mhsa.bench.compare.attribution.profile_record import CallProfile, OperatorUse, ProfiledLine
from mhsa.bench.compare.attribution.statements import Statement
from mhsa.bench.measure.measurement import Counters, Measurement
from mhsa.records.shape import SHAPES, Shape

# A right module, with places where others go wrong.
RIGHT = """
import os
import time

import torch
from torch import nn

import mhsa


class Right(nn.Module):
    def __init__(self, d_model, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        layers = (self.query, self.key, self.value)
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f, x in zip(layers, (query, key, value)))
        scores = self.score(q, k)
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(1), float("-inf"))
        return self.merge(self.mix(self.normalise(scores), v))

    def score(self, q, k):
        return q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5

    def normalise(self, scores):
        return scores.softmax(-1)

    def mix(self, weights, v):
        return weights @ v

    def merge(self, z):
        return self.out(z.transpose(1, 2).flatten(-2))
"""

GIVES_WEIGHTS = """

class GivesWeights(Right):
    def forward(self, query, key, value, mask=None, need_weights=False):
        self.kept = None
        out = super().forward(query, key, value, mask)
        return out, self.told(self.kept) if need_weights else None

    def mix(self, weights, v):
        self.kept = weights
        return weights @ v

    def told(self, weights):
        return weights
"""

SUBJECTS = (
    RIGHT
    + """

class Wrong(Right):
    def score(self, q, k):
        return q @ k.transpose(-1, -2)


class WrongInBfloat16(Right):
    def score(self, q, k):
        return super().score(q, k) * (1.25 if q.dtype == torch.bfloat16 else 1.0)


class At(Right):
    length, dtype = 32, torch.float32

    def forward(self, query, key, value, mask=None):
        if query.shape[1] == self.length and query.dtype == self.dtype:
            self.happen()
        return super().forward(query, key, value, mask)


class Exits(At):
    def happen(self):
        os._exit(7)


class Sleeps(At):
    def happen(self):
        time.sleep(600)


class Allocates(At):
    def happen(self):
        torch.empty(4 * 2**30, dtype=torch.uint8)


class RaisesInFloat16(At):
    length, dtype = 16, torch.float16

    def happen(self):
        raise TypeError("half of what I need")


class Raises(At):
    length = 8

    def happen(self):
        raise TypeError("half of what I need")


class DiesWhileItIsTimed(At):
    length = 16
    calls = 0

    def happen(self):
        self.calls += 1
        if self.calls == 20:  # the checks need most of that, and to find out how many make a block some more
            os.kill(os.getpid(), 9)


small = Right(24, 3)
"""
)


def made(name: str, outcome: str = "measured", *, passes: str = "forward", shape: Shape = SHAPES["exercise"]) -> Measurement:
    blank = Measurement(name, passes, shape, "float32", "cpu", outcome, "" if outcome == "measured" else "for a reason")
    figure = {"seconds": 0.00123, "ratio": 1.25, "low": 1.2, "high": 1.3, "blocks": 9, "rows": 16}
    return replace(blank, **figure, counters=Counters(9, 8, 7, 6)) if outcome == "measured" else blank


F32 = "float32[4, 4]"


def use(name: str, calls: int = 1, ms: float = 1.0, form: str = F32, made_by: tuple[int, ...] = (), **more: int) -> OperatorUse:
    """An operator of a line; what it costs is of all calls together."""
    return OperatorUse(f"aten::{name}", False, calls, ms / 1e3, more.get("bytes", 0), {form: calls}, made_by)


def line(
    number: int, text: str, *uses: OperatorUse, python: float = 0.0, hits: int = 1, parent: int = 0, noise: float = 0.0,
    around: tuple[int, ...] = (), file: str = "att.py", function: str = "forward",
) -> ProfiledLine:  # fmt: skip
    """A line with milliseconds outside of operators."""
    seconds = python / 1e3 + sum(o.seconds for o in uses)
    return ProfiledLine(parent, Statement(file, number, function, text, text, around), seconds, noise / 1e3, hits, uses)


def profile(*lines: ProfiledLine, outside: float = 1.0) -> CallProfile:
    """A call of these lines; the first of them has number 1."""
    seconds = outside / 1e3 + sum(one.seconds for one in lines)
    return CallProfile(seconds, (ProfiledLine(-1, None, outside / 1e3), *lines))
