"""The page of an SEO test in Chromium: no width makes it scroll sideways, and its keys are as its lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gsc_pipeline_tests.browser.chromium import NEEDS_BROWSER, Patient, launched
from gsc_pipeline_tests.report.test_seo_test_page import made, page_of

pytestmark = [pytest.mark.soak, NEEDS_BROWSER]


@pytest.fixture(scope="module")
def browser() -> Iterator[Patient]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("test") / "acme.test-titles.html"
    file.write_text(page_of(made(effect=0.3)), encoding="utf-8")
    return file


@pytest.mark.parametrize("width", [320, 735, 740, 900, 960, 970, 1280])
def test_the_page_is_no_wider_than_the_window(browser: Patient, file: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.close()


def test_the_legend_has_the_lines_of_the_chart_each_before_its_words(browser: Patient, file: Path) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 900})
    page.goto(file.as_uri())
    lefts = page.eval_on_selector_all(
        ".legend span", "found => found.map(one => one.getBoundingClientRect().left)"
    )
    assert lefts[0] == lefts[1]
    styles = page.eval_on_selector_all(
        ".key-line", "found => found.map(one => getComputedStyle(one).borderTopStyle)"
    )
    assert styles == ["solid", "dashed"]
    page.close()
