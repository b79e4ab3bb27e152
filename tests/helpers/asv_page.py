"""asv's page in a browser without a window.

It loads its libraries from the network. Here npm fetches them, once, into pytest's cache; the tests need no network then.
"""

from __future__ import annotations

import functools
import http.server
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers import browser as driver

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

# What the page asks the network for: the end of an address, and where npm's packages have the same.
_PACKAGES = ("jquery@3.3.1", "flot@0.8.3", "flot-orderbars@1.0.0", "stupid-table-plugin@1.1.3", "blueimp-md5@2.19.0",
             "bootstrap@3.1.1")  # fmt: skip
_FILES = {
    "jquery-3.3.1.min.js": "jquery/dist/jquery.min.js",
    "jquery.flot.min.js": "flot/jquery.flot.js",
    "jquery.flot.time.min.js": "flot/jquery.flot.time.js",
    "jquery.flot.selection.min.js": "flot/jquery.flot.selection.js",
    "jquery.flot.categories.min.js": "flot/jquery.flot.categories.js",
    "jquery.flot.orderBars.js": "flot-orderbars/js/jquery.flot.orderBars.js",
    "stupidtable.min.js": "stupid-table-plugin/stupidtable.min.js",
    "md5.min.js": "blueimp-md5/js/md5.min.js",
    "bootstrap.min.js": "bootstrap/dist/js/bootstrap.min.js",
    "bootstrap.min.css": "bootstrap/dist/css/bootstrap.min.css",
}


def libraries(config: pytest.Config) -> Path:
    """Return a folder with the libraries; without npm, or its registry, the test is skipped: the page needs the network."""
    folder = config.cache.mkdir("asvpage")
    if all((folder / file).is_file() for file in _FILES.values()):
        return folder
    if shutil.which("npm") is None:
        pytest.skip("asv's page loads jQuery, flot and bootstrap from the network; here npm would fetch them, and is missing")
    done = subprocess.run(["npm", "pack", "--silent", *_PACKAGES], cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"asv's page loads jQuery, flot and bootstrap from the network, and npm cannot fetch them: {done.stderr}")
    for name, archive in zip(_PACKAGES, done.stdout.split()[-len(_PACKAGES) :], strict=True):
        with tarfile.open(folder / archive) as opened:  # by hand: Python 3.11.2 has no safe extractall yet
            for member in filter(tarfile.TarInfo.isfile, opened):
                file = folder / "unpacked" / member.name
                assert file.resolve().is_relative_to(folder.resolve())
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(opened.extractfile(member).read())
        (folder / "unpacked" / "package").rename(folder / name.partition("@")[0])
        (folder / archive).unlink()
    return folder


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def opened(page: Path, libraries: Path) -> Iterator[Page]:
    """Serve the page and open it; at the end, require that the browser had no complaint."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=str(page)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    complaints: list[str] = []
    asked: list[str] = []

    def from_files(route: Route) -> None:
        url = route.request.url
        name = url.partition("?")[0].rpartition("/")[2]
        if url.startswith(f"http://127.0.0.1:{server.server_port}/"):
            if name in ("", "index.html"):  # npm's files are not minified, so the page's checksums are not theirs
                text = (page / "index.html").read_text()
                route.fulfill(body=re.sub(r'\s(integrity|crossorigin)="[^"]*"', "", text), content_type="text/html")
            else:
                route.continue_()
        elif name in _FILES:
            kind = "text/css" if name.endswith(".css") else "text/javascript"
            route.fulfill(path=libraries / _FILES[name], content_type=kind)
        else:
            asked.append(url)
            route.abort()

    try:
        with driver.chromium() as browser:
            tab = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
            tab.on("pageerror", lambda error: complaints.append(str(error)))
            tab.route("**/*", from_files)
            tab.goto(f"http://127.0.0.1:{server.server_port}/")
            yield tab
            assert complaints == []
            assert [url for url in asked if not re.search("fonts?/", url)] == []
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
