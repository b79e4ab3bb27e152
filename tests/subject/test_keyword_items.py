"""What a constructor reads of its **kwargs is an argument of it, and lengths of inputs have many names."""

import inspect
from pathlib import Path
from typing import Any

import pytest

from mhsa.introspect.questions import load_under
from mhsa.introspect.readings.fit import fits
from mhsa.records.request import Request
from mhsa.subject.construction.by_source.keyword_items import items_of_keywords
from mhsa.subject.subject import Subject

SOURCE = """
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, ARGUMENTS):
        super().__init__()
        self.heads, self.length = HEADS, LENGTH
        assert dim % self.heads == 0
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(x).reshape(b, self.length, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        w = (q @ k.transpose(-1, -2) * SCALE).softmax(-1)
        return self.proj((w @ v).transpose(1, 2).reshape(b, t, c))
"""
CASES = [
    ("dim, **kwargs", "kwargs['num_heads']", "kwargs['seq_len']"),
    ("dim, num_heads, **more", "num_heads", "more.pop('patch_num')"),
    ("dim, num_heads, n_vars", "num_heads", "n_vars"),
    ("dim, num_heads, d_time", "num_heads", "d_time"),
    ("dim, num_heads, num_patch", "num_heads", "num_patch"),
]


def loaded(folder: Path, arguments: str, heads: str, length: str, scale: str) -> tuple[Subject, str]:
    source = SOURCE.replace("ARGUMENTS", arguments).replace("HEADS", heads).replace("LENGTH", length).replace("SCALE", scale)
    file = folder / f"m{abs(hash(source))}.py"
    file.write_text(source)
    found = load_under(Request.of(f"{file}:Attention", dtypes=("float64",)))
    assert isinstance(found.subject, Subject), str(found.subject)
    return found.subject, str(found.question or "")


@pytest.mark.parametrize(("arguments", "heads", "length"), CASES)
def test_a_module_of_one_length_is_built_for_each(tmp_path: Path, arguments: str, heads: str, length: str) -> None:
    subject, asked = loaded(tmp_path, arguments, heads, length, "q.size(-1) ** -0.5")
    assert not asked
    assert fits(subject)
    assert "built for the lengths of each call" in dict(subject.notes)["constructor"]
    wrong, asked = loaded(tmp_path, arguments, heads, length, "c ** -0.5")
    assert not asked
    assert not fits(wrong)


class Collecting:
    def __init__(self, one: int, **rest: Any) -> None:
        rest["written"] = one
        self.two, self.three = rest["two"], rest.get("three")
        self.four, self.five = rest.get("four", 0.5), rest.pop("five")
        self.six = rest.get(self.two)


def test_what_is_read_is_required_unless_the_source_has_a_default() -> None:
    found = {name: p.default for name, p in items_of_keywords(Collecting).items()}
    empty = inspect.Parameter.empty
    assert found == {"two": empty, "three": None, "four": 0.5, "five": empty}
    assert items_of_keywords(CASES) == {}
