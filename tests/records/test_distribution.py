"""Where mhsa was installed from: hints and workflows name the same one, and a second mhsa is one clear error."""

import argparse
import importlib
import importlib.metadata
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from mhsa.commands.cli import main
from mhsa.judge import plugin
from mhsa.records import distribution
from mhsa.records.distribution import NAME, Origin, clash, install_hint, origin_of
from tests.helpers.places import ROOT

COMMIT = "0123456789abcdef0123456789abcdef01234567"
GIT = {"vcs": "git", "commit_id": COMMIT, "requested_revision": "main"}


@pytest.mark.parametrize(
    ("data", "requirement", "command"),
    [
        ({}, "mhsa-verify==1.2", "pip install 'mhsa-verify[asv]==1.2'"),
        (
            {"url": "https://example.org/a/mhsa", "vcs_info": GIT},
            f"mhsa-verify @ git+https://example.org/a/mhsa@{COMMIT}",
            f"pip install 'mhsa-verify[asv] @ git+https://example.org/a/mhsa@{COMMIT}'",
        ),
        (
            {"url": "ssh://git@example.org:22/a/b.git", "vcs_info": GIT, "subdirectory": "tools/mhsa"},
            f"mhsa-verify @ git+ssh://git@example.org:22/a/b.git@{COMMIT}#subdirectory=tools/mhsa",
            f"pip install 'mhsa-verify[asv] @ git+ssh://git@example.org:22/a/b.git@{COMMIT}#subdirectory=tools/mhsa'",
        ),
        (
            {"url": "https://example.org/m.whl", "archive_info": {"hashes": {"sha256": "ab"}}},
            "mhsa-verify @ https://example.org/m.whl#sha256=ab",
            "pip install 'mhsa-verify[asv] @ https://example.org/m.whl#sha256=ab'",
        ),
        ({"url": "file:///home/a%20b/mhsa", "dir_info": {}}, "", "pip install '/home/a b/mhsa[asv]'"),
        ({"url": "file:///home/a/mhsa", "dir_info": {"editable": True}}, "", "pip install -e '/home/a/mhsa[asv]'"),
        ({"url": "file:///home/a/m.whl", "archive_info": {}}, "", "pip install '/home/a/m.whl[asv]'"),
        ({"url": "file:///home/a/mhsa", "vcs_info": GIT}, "", "pip install '/home/a/mhsa[asv]'"),
    ],
)
def test_what_installs_the_same_one(data: dict[str, object], requirement: str, command: str) -> None:
    origin = origin_of("1.2", data)
    assert origin.requirement == requirement
    assert origin.command("asv") == command
    assert shlex.split(origin.command()) == shlex.split(command.replace("[asv]", ""))


@pytest.mark.parametrize("user", ["name:secret@", "secret@"])
def test_nobodys_password_is_written_into_a_workflow(user: str) -> None:
    origin = origin_of("1.2", {"url": f"https://{user}example.org/a/mhsa", "vcs_info": GIT})
    assert origin.requirement == f"mhsa-verify @ git+https://example.org/a/mhsa@{COMMIT}"


def put(folder: Path, name: str, version: str, **files: str) -> None:
    """Put what pip writes of an installed distribution into a folder."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    importlib.invalidate_caches()  # a folder that is changed twice within a tick of the clock looks unchanged
    for file, text in files.items():
        (info / file.replace("_json", ".json").replace("_txt", ".txt")).write_text(text)
    for line in files.get("RECORD", "").splitlines():  # the backport importlib_metadata leaves out what is not there
        (folder / line.partition(",")[0]).parent.mkdir(exist_ok=True)
        (folder / line.partition(",")[0]).touch()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed distributions that is looked at alone."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr("sys.path", [str(folder)])
    distribution.origin.cache_clear()
    yield folder
    distribution.origin.cache_clear()


def test_it_is_read_from_what_pip_wrote(site: Path) -> None:
    put(site, NAME, "3.4", direct_url_json=json.dumps({"url": "https://example.org/a", "vcs_info": GIT}))
    assert install_hint("bench") == f"pip install 'mhsa-verify[bench] @ git+https://example.org/a@{COMMIT}'"


@pytest.mark.parametrize("text", ["{", "[]", '{"url": 3}', "{}"])
def test_a_record_that_is_none_leaves_the_version(site: Path, text: str) -> None:
    put(site, NAME, "3.4", direct_url_json=text)
    assert install_hint("bench") == "pip install 'mhsa-verify[bench]==3.4'"


def test_a_checkout_without_metadata_is_a_folder(site: Path) -> None:
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.distribution(NAME)
    assert distribution.origin() == Origin(distribution.__version__, folder=str(ROOT), editable=True)


OLD = {
    "an editable one": {
        "entry_points_txt": "[console_scripts]\nmhsa = mhsa.commands.cli:main\n\n[pytest11]\nmhsa = mhsa.judge.plugin\n"
    },
    "a package": {"RECORD": "mhsa/__init__.py,,\nmhsa-1.1.0.dist-info/METADATA,,\n"},
}


@pytest.mark.parametrize("old", OLD)
def test_an_old_one_beside_it_is_one_error_at_the_command_line_and_in_pytest(
    site: Path, capsys: pytest.CaptureFixture[str], old: str
) -> None:
    put(site, "mhsa", "1.1.0", **OLD[old])
    assert clash() == "", "where it is alone, this is a checkout next to it"
    put(site, NAME, "3.4")
    with pytest.raises(SystemExit) as left:
        main(["properties"])
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("mhsa: two installed distributions provide mhsa: mhsa-verify 3.4 and mhsa 1.1.0, ")
    assert err.endswith(": pip uninstall -y mhsa mhsa-verify && pip install mhsa-verify==3.4\n")
    with pytest.raises(pytest.UsageError, match="two installed distributions provide mhsa"):
        plugin.pytest_configure(argparse.Namespace(getoption=lambda name: []))


def test_a_distribution_of_that_name_without_a_package_of_it_is_in_nobodys_way(site: Path) -> None:
    put(site, "mhsa", "1.1.0", RECORD="other/__init__.py,,\n", entry_points_txt="[console_scripts]\nother = other:main\n")
    put(site, NAME, "3.4")
    assert clash() == ""


def test_the_name_is_one_everywhere() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert document["project"]["name"] == NAME
    assert set(document["project"]["scripts"]) == set(document["project"]["entry-points"]["pytest11"]) == {"mhsa"}
    said = [p for folder in ("mhsa", "docs", "tests", "benchmarks", "properties") for p in (ROOT / folder).rglob("*.*")]
    said += [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml", "constraints.txt")]
    stranger = re.compile(r"""['"]mhsa\[|pip install (?:-\S+ )*['"]?mhsa(?![-\w])""")
    assert [str(p) for p in said if p.suffix in _TEXTS and stranger.search(p.read_text(errors="replace"))] == []


def test_in_a_users_environment_nothing_is_pinned_for_them() -> None:
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "mhsa").rglob("*.txt")):
        assert "-c constraints.txt" not in path.read_text(), path
    assert "in yours: pip install ." in (ROOT / "constraints.txt").read_text().splitlines()[0]


_TEXTS = {".py", ".md", ".txt", ".toml", ""}
