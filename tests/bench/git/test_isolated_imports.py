"""Two versions of a package in one process: each finds its own, and outside of them nothing has happened."""

import importlib
import os
import statistics
import subprocess
import sys
import sysconfig
import textwrap
import time
from collections.abc import Callable
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mhsa.bench.git.isolated_imports import Side
from mhsa.bench.git.worktrees import Trees
from mhsa.introspect.load import load
from mhsa.records.errors import SubjectError

PACKAGE = {
    "attn/__init__.py": "from .core import KIND, lazy, absolute\n",
    "attn/core.py": """
        KIND = "{0}"
        def lazy():
            from . import late
            return late.KIND
        def absolute():
            import attn.deep.late
            return attn.deep.late.KIND, attn.KIND
    """,
    "attn/late.py": 'KIND = "late {0}"\n',
    "attn/deep/__init__.py": "",
    "attn/deep/late.py": 'from ..late import KIND as WHO\nKIND = f"deep {{WHO}}"\n',
}


def write(folder: Path, files: dict[str, str], kind: str = "") -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).format(kind) if kind else textwrap.dedent(text))
    return folder


@pytest.fixture(autouse=True)
def _as_before(tmp_path):
    """Whatever a side does, afterwards all is as before, but for what came from elsewhere."""
    path, before = sys.path, sys.path[:]
    finders, modules = sys.meta_path[:], dict(sys.modules)
    yield
    assert sys.path is path
    assert sys.path == before
    assert sys.meta_path == finders
    assert {name: module for name, module in sys.modules.items() if name in modules} == modules
    for name in sys.modules.keys() - modules.keys():
        places = str(vars(sys.modules[name]).get("__file__")), *map(str, vars(sys.modules[name]).get("__path__", ()))
        assert not any(sign in place for place in places for sign in (f"{tmp_path}/base", f"{tmp_path}/head", "mhsa-tree"))
        if any(str(tmp_path) in place for place in places):  # a test's own, which it let its sides meet
            del sys.modules[name]


@pytest.fixture
def two(tmp_path) -> Callable[..., tuple[Side, Side]]:
    """Two sides of the same files, in which {0} stands for base and for head."""

    def make(files: dict[str, str] = PACKAGE, within: str = "") -> tuple[Side, Side]:
        base, head = (write(tmp_path / kind / "attn", files, kind) / within for kind in ("base", "head"))
        return Side(base), Side(head)

    return make


def kinds(base: Side, head: Side, ask: Callable[[Side], object]) -> list[object]:
    """What both sides answer, asked in turn and more than once: the second time, from what they kept."""
    found: list[object] = []
    for _ in range(2):
        for side in (base, head):
            with side:
                found.append(ask(side))
    assert found[:2] == found[2:]
    return found[:2]


def load_both(first: Side, second: Side, step: Callable[[Side], Any]) -> tuple[Any, Any]:
    """Take a step on both sides."""
    with first:
        one = step(first)
    with second:
        return one, step(second)


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


def test_data_beside_the_module(two):
    base, head = two(
        {"mod.py": "from pathlib import Path\nDATA = (Path(__file__).parent / 'd.txt').read_text()", "d.txt": "{0}"}
    )
    assert kinds(base, head, lambda _: importlib.import_module("mod").DATA) == ["base", "head"]


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
