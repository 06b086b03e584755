"""The Chromium of this machine, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gsc_pipeline_tests.browser.prepared import ROOT
from gsc_pipeline_tests.waiting import HANG_SECONDS

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

SCREENSHOTS = ROOT / "screenshots"
WINDOW = {"width": 1500, "height": 850}
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_chromium = pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium")


@contextmanager
def opened_page() -> Iterator[Any]:
    """One browser with one page, created last: its event loop tolerates no other in this thread."""
    SCREENSHOTS.mkdir(exist_ok=True)
    with playwright.sync_playwright() as driver:
        # For root, as in a container, there is no sandbox.
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport=WINDOW)
        page.set_default_timeout(HANG_SECONDS * 1000)
        playwright.expect.set_options(timeout=HANG_SECONDS * 1000)
        yield page
        browser.close()


def picture(page: Any, name: str) -> None:
    """Save what the page shows."""
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
