"""After a side is left all is as before: after errors, interruptions, nesting, and modules that change others."""

import importlib
import sys
from types import ModuleType

import pytest

from mhsa.bench.git.isolated_imports import Side
from tests.helpers.two_sides import PACKAGE, kinds, write

pytestmark = pytest.mark.usefixtures("as_before")


def test_an_exception_and_a_failing_import_leave_all_as_it_was(two, monkeypatch):
    base, head = two({"good.py": "KIND = '{0}'", "bad.py": "import good, sys; sys.path = ['/nowhere']; 1/0"})
    with pytest.raises(ZeroDivisionError), base:
        importlib.import_module("bad")
    assert "good" not in sys.modules
    with pytest.raises(KeyboardInterrupt), head:
        raise KeyboardInterrupt
    assert kinds(base, head, lambda _: importlib.import_module("good").KIND) == ["base", "head"]


def test_an_interruption_while_entering_leaves_all_as_it_was(two, tmp_path, monkeypatch):
    base, head = two()
    monkeypatch.syspath_prepend(str(write(tmp_path / "site", PACKAGE, "installed")))
    installed = importlib.import_module("attn")

    def interrupt(_: Side) -> None:
        raise KeyboardInterrupt

    for step in ("_is_rival", "_compose", "_bind"):
        with monkeypatch.context() as patch:
            patch.setattr(Side, step, interrupt if step == "_bind" else lambda *_: interrupt(base))
            with pytest.raises(KeyboardInterrupt), head, Side(base.folder):
                raise AssertionError("entered")
        assert sys.modules["attn"] is installed
        assert not [f for f in sys.meta_path if isinstance(f, Side)]
    assert kinds(base, head, lambda _: importlib.import_module("attn").KIND) == ["base", "head"]


def test_nested_sides(two):
    base, head = two()

    def kind() -> str:
        return importlib.import_module("attn").lazy()

    with base:
        assert kind() == "late base"
        with base:
            assert kind() == "late base"
            with head:
                assert kind() == "late head"
                assert str(base.folder) not in sys.path
                with base:
                    assert kind() == "late base"
                assert kind() == "late head"
        assert kind() == "late base"
        with pytest.raises(RuntimeError), head:
            raise RuntimeError
        assert kind() == "late base"
    assert "attn" not in sys.modules


def test_modules_that_change_themselves_and_each_other(two):
    files = {
        "me.py": "import sys\nclass Me:\n    KIND = '{0}'\n    __file__ = __file__\nsys.modules[__name__] = Me()\n",
        "x.py": "KIND = '{0}'",
        "y.py": "KIND = '{0}'",
        "z.py": "",
    }
    base, head = two(files)
    assert kinds(base, head, lambda _: importlib.import_module("me").KIND) == ["base", "head"]

    def other(_: Side) -> object:
        importlib.import_module("x")
        return importlib.import_module("y").KIND

    assert kinds(base, head, other) == ["base", "head"]
    for side in (base, head):
        with side:
            del sys.modules["y"], sys.modules["x"]  # as many as before, of the same names, and new ones
            importlib.import_module("x")
            assert side.folder.parent.name == importlib.import_module("y").KIND
            marked = sys.modules["x"]
        with side:
            assert sys.modules["x"] is marked
            del sys.modules["y"]
            importlib.import_module("z")  # as many as before, and another one
        assert "z" not in sys.modules
        with side:
            del sys.modules["x"], sys.modules["z"]
            importlib.import_module("y")
            importlib.import_module("z")  # as many as before, the same one at the end, and another one before it
        assert "y" not in sys.modules
        with side:
            sys.modules["y"] = instead = ModuleType("y")
        assert "y" not in sys.modules
        with side:
            assert sys.modules["y"] is instead
            del sys.modules["y"]
        with side:
            assert "y" not in sys.modules


def test_a_folder_that_python_has_looked_for_before_it_was_there(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "late")])
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("attn_late")
    assert sys.path_importer_cache[str(tmp_path / "late")] is None
    with Side(write(tmp_path / "late", {"attn_late.py": "KIND = 1"})):
        assert importlib.import_module("attn_late").KIND == 1
