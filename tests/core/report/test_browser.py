"""A report in a browser: no error, no request, every picture there, nothing wider than the page, switches that switch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import nastk
from tests.core.report.conftest import Make
from tests.core.report.test_report import TRIALS

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
WIDE, PHONE = 1200, 360
UNSEEN = """() => [...document.querySelectorAll('svg')].map(e => e.getBoundingClientRect())
    .filter(box => !(box.width > 0 && box.height > 0)).length"""
"""How many pictures have no size."""

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A system's Chromium; playwright drives it and downloads nothing."""
    api = pytest.importorskip("playwright.sync_api", reason='needs playwright: pip install "nastk[browser]"')
    if CHROMIUM is None:
        pytest.skip("needs a Chromium: on the path, or named by CHROMIUM")
    with api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS])
        yield started
        started.close()


@pytest.fixture
def show(browser: Any) -> Iterator[Open]:
    """Opens a page; at the end none of them has complained or asked for anything."""
    faults: list[str] = []
    contexts: list[Any] = []

    def opened(path: Path, width: int = WIDE, scheme: str = "light", **options: Any) -> Any:
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("request", lambda request: faults.append(request.url) if not request.url.startswith(("file:", "data:")) else None)
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true })")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults


@pytest.fixture
def report(make: Make, tmp_path: Path) -> Path:
    """Of two runs with all that a run can have, one with hostile names."""
    runs = [
        make(trials=TRIALS, notices=["Look out."]),
        make("b<script>alert(1)</script>", seed=1, notices=["<img src=x onerror=alert(1)>"]),
    ]
    return nastk.report(runs, tmp_path / "report.html")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_every_picture_is_there_and_nothing_is_too_wide(show: Open, report: Path, width: int, scheme: str) -> None:
    page = show(report, width, scheme)
    assert page.evaluate("document.querySelectorAll('svg').length") > 40
    assert page.evaluate(UNSEEN) == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]


def test_a_study_too(show: Open, study: Path) -> None:
    for width in (WIDE, PHONE):
        page = show(study / "report.html", width)
        assert page.evaluate(UNSEEN) == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_lines_can_be_switched_off_by_key_and_by_pointer(show: Open, report: Path) -> None:
    page = show(report)
    figure = page.locator("figure.chart", has_text="Accuracy in the search").first
    key, line = figure.locator(".legend [role=button]").first, figure.locator(".series").first
    assert key.get_attribute("aria-pressed") == "true"
    key.click()
    assert key.get_attribute("aria-pressed") == "false"
    assert "hidden" in line.get_attribute("class")
    key.press("Enter")
    assert "hidden" not in line.get_attribute("class")


def test_numbers_stand_under_the_pointer_and_follow_the_keys(show: Open, report: Path) -> None:
    page = show(report)
    plot = page.locator("figure.chart", has_text="Accuracy in the search").first.locator("svg.plot")
    plot.scroll_into_view_if_needed()
    plot.hover()
    assert "training: " in page.locator(".tip").inner_text()
    plot.focus()
    plot.press("ArrowRight")
    first = page.locator(".tip").inner_text()
    plot.press("ArrowRight")
    assert page.locator(".tip").inner_text() != first
    plot.press("Escape")
    assert not page.locator(".tip").is_visible()


def test_it_reads_without_a_script(show: Open, report: Path) -> None:
    page = show(report, java_script_enabled=True)
    shown = page.locator("main").inner_text()
    bare = show(report, java_script_enabled=False).locator("main").inner_text()
    assert "Accuracy in the search" in bare
    assert set(shown.split()) <= set(bare.split())


def test_the_policy_holds_against_markup_that_slipped_in(browser: Any, report: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    text = report.read_text(encoding="utf-8").replace(
        "</main>", "<script>document.title='ran'</script><img src='http://127.0.0.1:9/x'></main>"
    )
    broken.write_text(text, encoding="utf-8")
    page = browser.new_page()
    stopped: dict[str, str] = {}
    page.on("requestfailed", lambda request: stopped.update({request.url: request.failure}))
    page.goto(broken.as_uri())
    assert page.title() != "ran"
    assert stopped == {"http://127.0.0.1:9/x": "csp"}, "refused by the page, before anything was sent"
    page.close()
