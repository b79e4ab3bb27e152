"""What a process can load only once, extension modules and torch's operators, is reported."""

import importlib
import sysconfig
from pathlib import Path

import pytest

from mhsa.introspect.load import load
from mhsa.records.errors import SubjectError

pytestmark = pytest.mark.usefixtures("as_before")


def test_extension_modules_are_told(two):
    built = next(iter(sorted(Path(sysconfig.get_config_var("DESTSHARED")).glob("_heapq*.so"))), None)
    if built is None:
        pytest.skip("this Python has no extension module of its own that could be copied")
    base, head = two()
    (base.folder / "attn" / built.name).write_bytes(built.read_bytes())
    for side in (base, head):
        with side:
            importlib.import_module("attn")
    with base:
        importlib.import_module("attn._heapq")
        assert list(base.compiled()) == ["attn._heapq"]
    assert base.compiled() == {"attn._heapq": base.folder / "attn" / built.name}
    assert head.compiled() == {}


LIBRARY = """
    import torch
    LIBRARY = torch.library.Library("mhsa_test_sides", "DEF")
"""
OPERATOR = """
    import torch
    @torch.library.custom_op("mhsa_test_sides2::op", mutates_args=())
    def op(x: torch.Tensor) -> torch.Tensor:
        return x + len("{0}!") * ("{0}" == "head")
"""


def test_what_torch_has_only_once_cannot_be_loaded_twice(two):
    base, head = two({"mod.py": LIBRARY})
    with base:
        load("mod:LIBRARY", str(base.folder))
    with head, pytest.raises(SubjectError, match=r"Only a single TORCH_LIBRARY .* namespace mhsa_test_sides"):
        load("mod:LIBRARY", str(head.folder))


def test_an_operator_that_torch_replaces_silently_is_told(two):
    base, head = two({"mod.py": OPERATOR})
    with base:
        importlib.import_module("mod")
    assert base.replaced() == []
    # What base's operator does from now on is head's, or raises, as Python's garbage collector has it: this is why it matters.
    with head:
        importlib.import_module("mod")
    assert base.replaced() == ["mhsa_test_sides2::op"]
    assert head.replaced() == []
