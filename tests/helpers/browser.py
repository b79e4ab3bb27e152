"""A real browser without a window, for the report's page: Chromium as installed, driven through playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
          "--disable-component-update", "--disable-sync"]  # fmt: skip

# Every visible text whose contrast with the ground below it is under 4.5 to 1, as the WCAG (level AA) asks of small text.
# Grounds may be translucent, so they are laid over each other from the text's element up to the first opaque one.
_CONTRAST = """() => {
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const luminance = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
    const x = c[i] / 255;
    return sum + weight * (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
  }, 0);
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const words = walker.currentNode.textContent.trim();
    if (!words || element.closest("svg, script, .unseen") || !element.checkVisibility()) continue;
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
    const ground = layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
    const ink = over(parse(getComputedStyle(element).color), ground);
    const [a, b] = [luminance(ink), luminance(ground)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(words.slice(0, 40) + " " + ratio.toFixed(2));
  }
  return poor;
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser; without one the test is skipped, but fails where MHSA_TEST_BROWSER is set, as .ci/run does."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        _without(f"no Chromium is installed: none of {', '.join(_NAMES)} is on PATH")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _without("playwright is not installed: pip install -c constraints.txt -e '.[test]'")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=_QUIET)
        try:
            yield browser
        finally:
            browser.close()


def _without(reason: str) -> NoReturn:
    if os.environ.get("MHSA_TEST_BROWSER"):
        pytest.fail(f"{reason}; with MHSA_TEST_BROWSER set the page must be tested in one")
    pytest.skip(reason)


@contextmanager
def opened(browser: Browser, file: Path, *, width: int = 1400, scheme: Any = "light") -> Iterator[Page]:
    """Open a file, and require at the end that the page requested nothing else and that the browser had no complaint."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
    try:
        tab.goto(file.as_uri())
        yield tab
        assert asked == [file.as_uri()]
        assert complaints == []
    finally:
        context.close()


def too_pale(tab: Page) -> list[str]:
    """Return the visible texts that are hard to read, each with its contrast."""
    return list(tab.evaluate(_CONTRAST))


def sticks_out(tab: Page) -> int:
    """Return by how many pixels the page is wider than the window."""
    return int(tab.evaluate("document.documentElement.scrollWidth - innerWidth"))
