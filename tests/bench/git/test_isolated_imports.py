"""Two versions of a package in one process: each finds its own, and outside of them nothing has happened."""

import importlib
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from mhsa.bench.git.isolated_imports import Side
from mhsa.bench.git.worktrees import Trees
from mhsa.introspect.load import load
from tests.helpers.two_sides import PACKAGE, kinds, load_both, write

pytestmark = pytest.mark.usefixtures("as_before")


def test_each_side_has_its_own_constants_relative_and_lazy_imports(two):
    base, head = two()
    one, other = load_both(base, head, lambda _: importlib.import_module("attn"))
    assert one is not other
    assert "attn" not in sys.modules
    for _ in range(2):
        for side, module, kind in ((head, other, "head"), (base, one, "base")):
            with side:
                assert sys.modules["attn"] is module
                assert kind == module.KIND
                assert module.lazy() == f"late {kind}"
                assert module.absolute() == (f"deep late {kind}", kind)
    assert not [name for name in sys.modules if name.startswith("attn")]


def test_a_src_layout_comes_before_the_folder_itself(two):
    files = {f"src/{name}": text for name, text in PACKAGE.items()} | {
        "helper.py": 'KIND = "{0}"',
        "attn/__init__.py": "KIND = 1",
    }
    base, head = two(files)
    assert kinds(base, head, lambda _: importlib.import_module("attn").lazy()) == ["late base", "late head"]
    assert kinds(base, head, lambda _: importlib.import_module("helper").KIND) == ["base", "head"]


def test_a_single_file_and_what_lies_beside_it_as_a_request_names_them(two):
    files = {
        "models/one.py": """
            import beside
            class Attention: KIND = beside.KIND
            def late():
                import later
                return later.KIND
        """,
        "models/beside.py": 'KIND = "{0}"',
        "models/later.py": 'KIND = "later {0}"',
    }
    base, head = two(files)
    assert kinds(base, head, lambda side: load("models/one.py:Attention.KIND", str(side.folder))) == ["base", "head"]
    # What load() added to sys.path is there for the side, and only for it, whenever it is active again.
    assert kinds(base, head, lambda side: load("models/one.py:late", str(side.folder))()) == ["later base", "later head"]


def test_what_a_side_searches_follows_sys_path(two, tmp_path, monkeypatch):
    base, head = two(
        {"a.py": "import sys, os; sys.path.append(os.path.join(os.path.dirname(__file__), 'more'))", "more/b.py": "C = '{0}'"}
    )
    for side in (base, head):
        with side:
            importlib.import_module("a")
    monkeypatch.syspath_prepend(str(write(tmp_path / "later", {"somewhere.py": "D = 4"})))
    assert kinds(base, head, lambda _: (importlib.import_module("b").C, importlib.import_module("somewhere").D)) == [
        ("base", 4), ("head", 4)]  # fmt: skip


def test_namespace_packages(two):
    base, head = two(
        {"space/deep/mod.py": "import space.deep.other as o; KIND = o.KIND", "space/deep/other.py": 'KIND = "{0}"'}
    )
    assert kinds(base, head, lambda _: importlib.import_module("space.deep.mod").KIND) == ["base", "head"]
    assert "space" not in sys.modules


@pytest.mark.parametrize("earlier", [False, True])
def test_a_namespace_that_is_shared_with_what_is_installed(two, tmp_path, monkeypatch, earlier):
    site = write(tmp_path / "site", {"space/common.py": "X = object()", "space/mod.py": 'KIND = "installed"'})
    monkeypatch.syspath_prepend(str(site))
    text = "import space.common\nKIND, X = '{0}', space.common.X"
    base, head = two({"space/mod.py": text})
    if earlier:
        installed = [importlib.import_module(name) for name in ("space.mod", "space.common", "space")]
    one, other = load_both(base, head, lambda _: importlib.import_module("space.mod"))
    assert (one.KIND, other.KIND) == ("base", "head")
    assert one.X is other.X  # what is installed is loaded once
    if earlier:
        assert [sys.modules[m.__name__] for m in installed] == installed
        assert sys.modules["space"].mod.KIND == "installed"


def test_a_module_that_only_one_side_has(two, tmp_path):
    base, head = two()
    write(head.folder, {"attn/new.py": "KIND = 1", "fresh.py": "KIND = 2"})
    head = Side(head.folder)
    with head:
        assert importlib.import_module("attn.new").KIND == 1
        assert importlib.import_module("fresh").KIND == 2
    with base:
        for name in ("attn.new", "fresh"):
            with pytest.raises(ModuleNotFoundError):
                importlib.import_module(name)
        assert not hasattr(importlib.import_module("attn"), "new")


def test_data_beside_the_module(two):
    base, head = two(
        {"mod.py": "from pathlib import Path\nDATA = (Path(__file__).parent / 'd.txt').read_text()", "d.txt": "{0}"}
    )
    assert kinds(base, head, lambda _: importlib.import_module("mod").DATA) == ["base", "head"]


def test_to_enter_and_to_leave_is_cheap(two, monkeypatch):
    import torch  # noqa: F401 — with all its modules

    base, head = two()
    for side in (base, head, base, head):
        with side:
            importlib.import_module("attn").absolute()
    costs, scans = [], []
    with monkeypatch.context() as patch:
        # Nothing was imported, so nothing is looked through.
        patch.setattr(Side, "_is_own", lambda *_: pytest.fail("sys.modules was looked through"))
        patch.setattr(Side, "_is_rival", lambda *_: pytest.fail("sys.modules was looked through"))
        for _ in range(300):
            start = time.perf_counter()
            with base:
                pass
            with head:
                pass
            costs.append((time.perf_counter() - start) / 2)
    for n in range(10):
        start = time.perf_counter()
        with base:
            sys.modules[f"attn.n{n}"] = ModuleType(f"attn.n{n}")
        with base:
            pass
        scans.append(time.perf_counter() - start)
    cost, scan = statistics.median(costs), statistics.median(scans)
    print(f"\n{cost * 1e6:.1f} us to enter and leave, {scan * 1e3:.2f} ms after an import; {len(sys.modules)} modules in all")
    assert cost < 500e-6


def test_two_commits_of_a_project_in_a_subfolder(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    repository = tmp_path / "repository"

    def git(*arguments: str) -> None:
        command = ["git", "-c", "user.email=a@b.c", "-c", "user.name=A", *arguments]
        subprocess.run(command, cwd=repository, check=True, capture_output=True, timeout=60)

    repository.mkdir()
    git("init", "--quiet")
    for kind in ("base", "head"):
        write(repository, {f"project/{name}": text for name, text in PACKAGE.items()}, kind)
        git("add", "--all")
        git("commit", "--quiet", "--message", kind)
    write(repository, {f"project/{name}": text for name, text in PACKAGE.items()}, "edited")
    monkeypatch.chdir(repository / "project")
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    with Trees(Path.cwd()) as trees:
        found = [trees.check_out(trees.commit(name)) for name in ("HEAD~1", "HEAD")]
        base, head = (Side(tree / trees.subfolder, tree, trees.root) for tree in found)
        lazy = load_both(base, head, lambda side: load("attn:lazy", str(side.folder)))
        assert kinds(base, head, lambda side: lazy[side is head]()) == ["late base", "late head"]
    assert importlib.import_module("attn").lazy() == "late edited"
