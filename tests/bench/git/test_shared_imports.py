"""What two versions share with each other and with what is installed, and what is hidden while a side is entered."""

import importlib
import sys
from importlib.machinery import PathFinder

import pytest

from mhsa.bench.git.isolated_imports import Side
from mhsa.introspect.load import load
from tests.helpers.two_sides import PACKAGE, kinds, load_both, write

pytestmark = pytest.mark.usefixtures("as_before")


def test_a_copy_that_was_imported_before_is_hidden_and_put_back(two, tmp_path, monkeypatch):
    base, head = two()
    monkeypatch.syspath_prepend(str(write(tmp_path / "site", {**PACKAGE, "attn/only.py": ""}, "installed")))
    names = ("attn", "attn.core", "attn.late", "attn.only")
    installed = {name: importlib.import_module(name) for name in names}
    with base:
        assert "attn.only" not in sys.modules
        assert "attn.late" not in sys.modules
    assert kinds(base, head, lambda _: importlib.import_module("attn").lazy()) == ["late base", "late head"]
    assert {name: sys.modules[name] for name in names} == installed
    assert installed["attn"].lazy() == "late installed"
    # One that is imported between two times is hidden as well.
    late = importlib.import_module("attn.deep.late")
    with base:
        assert "attn.deep.late" not in sys.modules
    assert kinds(base, head, lambda _: importlib.import_module("attn").absolute()[0]) == ["deep late base", "deep late head"]
    assert sys.modules["attn.deep.late"] is late


def test_an_editable_install_whose_finder_comes_first_is_not_asked(two, tmp_path, monkeypatch):
    site = write(tmp_path / "editable", {**PACKAGE, "attn/built.py": "X = 1"}, "editable")

    class Editable:
        def find_spec(self, name, path=None, target=None):
            if not name.startswith("attn"):
                return None
            folder = site.joinpath(*name.split(".")[:-1])
            return PathFinder.find_spec(name, [str(folder)])

    monkeypatch.setattr(sys, "meta_path", [Editable(), *sys.meta_path])
    base, head = two()
    assert importlib.import_module("attn").lazy() == "late editable"
    assert kinds(base, head, lambda _: importlib.import_module("attn").absolute()[0]) == ["deep late base", "deep late head"]
    assert base.strangers() == []
    with base:
        importlib.import_module("attn.built")  # only the finder knows it: of both sides, and of neither
        assert base.strangers() == ["attn.built"]
    assert base.strangers() == ["attn.built"]
    assert head.strangers() == []


def test_the_users_own_working_tree_is_out_of_sight(tmp_path, monkeypatch):
    original = write(tmp_path / "user" / "attn", {"helper.py": 'KIND = "user"', "libs/dep/__init__.py": 'KIND = "user"'})
    write(original, {".venv/site-packages/installed.py": "KIND = 1", "seen.py": 'KIND = "user"'})
    trees = [
        write(tmp_path / kind / "attn", {"libs/dep/__init__.py": 'KIND = "{0}"', "p/q.py": ""}, kind)
        for kind in ("base", "head")
    ]
    write(trees[1], {"helper.py": 'KIND = "head"'})
    base, head = (Side(tree / "p", tree, original) for tree in trees)
    monkeypatch.chdir(original)
    monkeypatch.setattr(sys, "path", ["", str(original / ".venv/site-packages"), str(original / "libs"), *sys.path])
    users = importlib.import_module("dep")
    assert kinds(base, head, lambda _: importlib.import_module("dep").KIND) == ["base", "head"]
    assert sys.modules["dep"] is users
    with head:
        assert importlib.import_module("helper").KIND == "head"
    with base, pytest.raises(ModuleNotFoundError):
        importlib.import_module("helper")
    with base:
        assert importlib.import_module("installed").KIND == 1
    with head:
        assert importlib.import_module("installed") is sys.modules["installed"]


def test_what_comes_from_elsewhere_is_shared(two, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(write(tmp_path / "site", {"third.py": "X = object()"})))
    base, head = two({"mod.py": "import third; X = third.X"})
    one, other = load_both(base, head, lambda _: importlib.import_module("mod"))
    assert one.X is other.X is sys.modules["third"].X


def test_one_side_vendors_what_the_other_has_installed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(write(tmp_path / "site", {"third.py": 'KIND = "installed"'})))
    base = Side(write(tmp_path / "base", {"mod.py": "import third; KIND = third.KIND"}))
    head = Side(write(tmp_path / "head", {"mod.py": "import third; KIND = third.KIND", "third.py": 'KIND = "vendored"'}))
    with head:  # before there is anything to be hidden
        pass
    assert kinds(base, head, lambda _: importlib.import_module("mod").KIND) == ["installed", "vendored"]


def test_what_is_imported_outside_under_the_name_of_a_sides_own_module(two, tmp_path, monkeypatch):
    base, head = two({"models/one.py": "import beside\nKIND = beside.KIND", "models/beside.py": 'KIND = "{0}"'})
    assert kinds(base, head, lambda side: load("models/one.py:KIND", str(side.folder))) == ["base", "head"]
    monkeypatch.syspath_prepend(str(write(tmp_path / "site", {"beside.py": 'KIND = "outside"'})))
    outside = importlib.import_module("beside")
    assert kinds(base, head, lambda _: importlib.import_module("beside").KIND) == ["base", "head"]
    assert sys.modules["beside"] is outside


def test_a_folder_without_init_hides_no_package_that_has_one(two, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(write(tmp_path / "site", {"jaxlike/__init__.py": "", "jaxlike/nn.py": ""})))
    library = importlib.import_module("jaxlike.nn")
    base, _ = two({"jaxlike/nn.py": "1/0", "jaxlike/attention.py": "import jaxlike.nn as NN"})
    with base:
        assert load("jaxlike/attention.py:NN", str(base.folder)) is library


def test_files_that_are_called_like_libraries_replace_none(two):
    base, head = two(
        {"torch.py": "1/0", "json.py": "1/0", "numpy/__init__.py": "1/0", "hypothesis/x.py": "", "mod.py": "import torch, json"}
    )
    names = "torch", "numpy", "hypothesis", "json"  # all of them are there before any subject is
    before = [importlib.import_module(name) for name in names]
    load_both(base, head, lambda _: importlib.import_module("mod"))
    with base:
        assert [importlib.import_module(name) for name in names] == before
