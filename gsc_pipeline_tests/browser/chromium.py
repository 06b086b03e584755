"""The system's Chromium, driven by Playwright. It waits as long as a busy machine takes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gsc_pipeline_tests.browser.prepared import ROOT
from gsc_pipeline_tests.waiting import HANG_SECONDS

SCREENSHOTS = ROOT / "screenshots"
PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDS_BROWSER = pytest.mark.skipif(PROGRAM is None, reason="no Chromium here: apt-get install chromium")


class Patient:
    """A browser whose pages have no time limit of their own."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser

    def new_page(self, **options: Any) -> Any:
        """A page in a context of its own."""
        page = self._browser.new_page(**options)
        page.set_default_timeout(HANG_SECONDS * 1000)
        return page


@contextmanager
def launched() -> Iterator[Patient]:
    """One browser. Playwright's event loop tolerates no other in this thread."""
    from playwright.sync_api import expect, sync_playwright

    SCREENSHOTS.mkdir(exist_ok=True)
    expect.set_options(timeout=HANG_SECONDS * 1000)
    with sync_playwright() as driver:
        # For root, as in a container, there is no sandbox.
        browser = driver.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        yield Patient(browser)
        browser.close()
