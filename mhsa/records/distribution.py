"""Where this mhsa was installed from, so that every hint names what installs the same one; and an older one installed as well.

The package and the command are called mhsa. The distribution, which pip installs, is called mhsa-verify, because on the public
index mhsa belongs to another project.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from mhsa import __version__

NAME = "mhsa-verify"
FORMER = "mhsa"  # what the distribution was called once, and what a stranger's is called on the public index


@dataclass(frozen=True)
class Origin:
    """Where a distribution came from.

    Attributes:
        version: of it.
        url: what pip takes after the @ of a requirement, with the commit or the hash; empty where it came from an index.
        folder: on this machine, a folder or an archive; empty where it came from elsewhere.
        editable: whether the folder's own files are imported.
    """

    version: str
    url: str = ""
    folder: str = ""
    editable: bool = False

    @property
    def requirement(self) -> str:
        """What installs the same one on any machine; empty where only this machine has it."""
        return "" if self.folder else self._pinned("")

    def command(self, extra: str = "") -> str:
        """Return the command that installs the same one here, with an extra if one is named."""
        option = f"[{extra}]" if extra else ""
        if self.folder:
            return f"pip install {'-e ' if self.editable else ''}{shlex.quote(self.folder + option)}"
        return f"pip install {shlex.quote(self._pinned(option))}"

    def _pinned(self, option: str) -> str:
        return f"{NAME}{option} @ {self.url}" if self.url else f"{NAME}{option}=={self.version}"


@functools.cache
def origin() -> Origin:
    """Return where the installed mhsa came from; a checkout that only lies on Python's path is a folder."""
    try:
        ours = importlib.metadata.distribution(NAME)
    except importlib.metadata.PackageNotFoundError:
        checkout = Path(__file__).resolve().parents[2]
        ours_too = _is_checkout(checkout)
        return Origin(__version__, folder=str(checkout) if ours_too else "", editable=ours_too)
    try:
        data = json.loads(ours.read_text("direct_url.json") or "{}")  # there is none for what came from an index
        return origin_of(ours.version, data)
    except (ValueError, KeyError, TypeError, AttributeError):  # no file that pip wrote
        return Origin(ours.version)


def origin_of(version: str, data: Mapping[str, Any]) -> Origin:
    """Return what a direct_url.json says (PEP 610)."""
    if not data:
        return Origin(version)
    parts = urlsplit(data["url"])
    if parts.scheme == "file":
        from urllib.request import url2pathname  # takes 20 ms, which an ordinary pytest run must not pay

        return Origin(version, folder=url2pathname(parts.path), editable=bool(data.get("dir_info", {}).get("editable")))
    fragment = f"subdirectory={data['subdirectory']}" if data.get("subdirectory") else ""
    if "vcs_info" in data:
        kind, commit = data["vcs_info"]["vcs"], data["vcs_info"]["commit_id"]
        return Origin(version, url=f"{kind}+{_public(parts, fragment='')}@{commit}" + (f"#{fragment}" if fragment else ""))
    hashes = data.get("archive_info", {}).get("hashes", {})
    if "sha256" in hashes:
        fragment = "&".join(filter(None, (f"sha256={hashes['sha256']}", fragment)))
    return Origin(version, url=_public(parts, fragment))


def _public(parts: SplitResult, fragment: str) -> str:
    """Return an address without a password, and without a name that may be a token; ssh needs its name."""
    host = parts.netloc.rpartition("@")[2]
    user = parts.username or ""
    keep = user if parts.scheme == "ssh" or user == "git" else ""
    return urlunsplit((parts.scheme, f"{keep}@{host}" if keep else host, parts.path, parts.query, fragment))


def _is_checkout(folder: Path) -> bool:
    import tomllib

    try:
        document = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        return bool(document["project"]["name"] == NAME)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def install_hint(extra: str = "") -> str:
    """Return the command that installs the same mhsa with an extra: as messages print it."""
    return origin().command(extra)


def clash() -> str:
    """Return what is wrong where two installed distributions provide mhsa; empty where one does, or none."""
    former = _installed(FORMER)
    ours = _installed(NAME) if former is not None else None  # nearly always the first look is the last
    if former is None or ours is None or not _provides_mhsa(former):
        return ""
    return (
        f"two installed distributions provide mhsa: {NAME} {ours.version} and {FORMER} {former.version}, an old one or a "
        f"stranger's. They may share files, so uninstall both and install {NAME} again: "
        f"pip uninstall -y {FORMER} {NAME} && {install_hint()}"
    )


def _installed(name: str) -> importlib.metadata.Distribution | None:
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _provides_mhsa(former: importlib.metadata.Distribution) -> bool:
    """Whether it has a package, a command or a pytest plugin of that name; an editable one lists no files of the package."""
    if any(e.name == "mhsa" and e.group in ("console_scripts", "pytest11") for e in former.entry_points):
        return True
    return any(file.parts[0] == "mhsa" for file in former.files or ())
