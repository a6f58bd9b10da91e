"""The page of a report in a browser: it fits any width, can be read by everybody, folds, filters and prints."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from counterforensics.outcome import Outcome
from counterforensics.report import write_report
from tests.test_report import EIGHT, by_device, crowd, simulate

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

WIDTHS = (400, 768, 1400)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Loss variants of one attack, a target, and an attack without a target: as the demo.
DEMO = (("bayar2016", "fgsm"), ("bayar2016", "fgsm:loss=cross-entropy"), ("spam-svm", "fgsm"), ("", "gan-kim"))


def few_figures(outcome: Outcome) -> Outcome:
    """The outcome with logits under one attack, one patch and no curves: drawing takes long, and other tests do it."""
    shown = (outcome.patches[0].target, outcome.patches[0].attack)
    first = dataclasses.replace(outcome.scores[0], concealed={shown: outcome.scores[0].concealed[shown]})
    return dataclasses.replace(outcome, scores=[first], patches=outcome.patches[:1], curves=(), spectra=())


def twenty() -> Outcome:
    """Twenty detectors with long labels, attacked through three of them."""
    many = crowd(20, manipulations=EIGHT[2:3], patches=20)
    rows = many.rows[many.rows["target"].isin(["", *many.rows["detector"].unique()[:3]])]
    return dataclasses.replace(many, rows=rows[rows["attack"].isin(["", "fgsm"])], scores=(), curves=(), spectra=(),
                               patches=many.patches[:1])  # fmt: skip


STUDIES = {
    "as the demo": lambda: by_device(
        few_figures(simulate(EIGHT[1:3], ("spam-svm", "bayar2016", "xception"), DEMO, patches=40)), devices=3
    ),
    "no figure of the paper": lambda: few_figures(
        simulate(("sharpen:1",), ("mine", "mislnet"), (("mine", "theirs"),), patches=40)
    ),
    "twenty detectors": twenty,
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The page of each study, written on first use."""
    return functools.cache(lambda name: write_report(STUDIES[name](), tmp_path_factory.mktemp("page")))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with sync_api.sync_playwright() as running:
        started = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(params=STUDIES)
def report(request: pytest.FixtureRequest, written: Callable[[str], Path]) -> Path:
    return written(request.param)


@pytest.fixture
def demo(written: Callable[[str], Path]) -> Path:
    return written("as the demo")


def opened(browser: Any, report: Path, **settings: Any) -> Any:
    """The page, in a browser of its own with these settings."""
    page = browser.new_context(**settings).new_page()
    page.goto(report.as_uri())
    return page


UNFOLD = "document.querySelectorAll('details').forEach(one => { one.open = true })"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Elements that reach past the right edge and are not inside a box that scrolls.
WIDE = """[...document.querySelectorAll('main *')].filter(one =>
    one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('.scroll, pre')).map(one => one.outerHTML)"""


def test_nothing_is_wider_than_the_page(browser: Any, report: Path) -> None:
    for width in WIDTHS:
        page = opened(browser, report, viewport={"width": width, "height": 900})
        assert page.evaluate(OVERFLOW) == 0, f"folded, {width} pixels"
        page.evaluate(UNFOLD)
        assert page.evaluate(OVERFLOW) == 0, f"unfolded, {width} pixels"
        assert page.evaluate(WIDE) == []
        page.context.close()


@pytest.mark.parametrize(("name", "scheme"), [("as the demo", "light"), *((name, "dark") for name in STUDIES)])
def test_axe_finds_no_serious_fault(browser: Any, written: Callable[[str], Path], name: str, scheme: str) -> None:
    """Contrast of at least 4.5 to 1, names, roles, the order of headings, keyboard: the rules of axe-core."""
    page = opened(browser, written(name), viewport={"width": 1400, "height": 900}, color_scheme=scheme)
    page.evaluate(UNFOLD)
    found = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
    assert serious == []
    page.context.close()


def test_headings_go_down_by_one_and_images_say_what_is_seen(browser: Any, report: Path) -> None:
    page = opened(browser, report)
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(one => +one.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in itertools.pairwise(levels))
    alts = page.evaluate("[...document.images].map(one => one.alt)")
    assert alts
    assert all(len(alt) > 30 and re.search(r"\d", alt) for alt in alts), alts
    page.context.close()


def test_the_verdicts_stand_on_the_first_screen(browser: Any, demo: Path) -> None:
    page = opened(browser, demo, viewport={"width": 1400, "height": 900})
    assert page.evaluate("document.querySelector('.board').getBoundingClientRect().bottom") < 900
    assert page.evaluate("document.querySelector('.heatbox').getBoundingClientRect().top") < 450
    words = page.evaluate("[...document.querySelectorAll('.board .word')].map(one => one.textContent)")
    assert len(words) == 9  # the losses of one attack share a row
    assert all(re.fullmatch("(probably )?(holds|weakened|mixed|fails)|no answer|attack failed|—", one) for one in words)
    page.context.close()


def test_tables_are_folded_and_filtered(browser: Any, demo: Path) -> None:
    page = opened(browser, demo)
    assert page.locator("details.fold[open]").count() == 0
    page.get_by_role("button", name="Open all").click()
    table = page.locator("#table2 table")
    before = table.locator("tbody tr:visible").count()
    page.locator("select[name=manipulation]").select_option("Median 7 × 7")
    assert 0 < table.locator("tbody tr:visible").count() < before
    page.locator("select[name=judge]").select_option("Xception")
    assert table.locator("thead th[data-judge]:visible").all_inner_texts() == ["Xception"]
    columns = "row => [...row.cells].filter(cell => !cell.hidden).reduce((sum, cell) => sum + cell.colSpan, 0)"
    head, body = table.locator("thead tr").first, table.locator("tbody tr:visible:not(.section)").first
    assert head.evaluate(columns) == body.evaluate(columns)
    page.locator("select[name=attack]").select_option("GAN restoration (Kim)")
    assert not page.locator("#table2").is_visible()
    assert "tables hold such figures" in page.get_by_role("status").inner_text()
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function("document.querySelector('#filtered').textContent === ''")
    assert table.locator("tbody tr:visible").count() == before
    page.context.close()


def test_a_link_opens_what_it_leads_to(browser: Any, demo: Path) -> None:
    page = opened(browser, demo)
    page.goto(demo.as_uri() + "#table1")
    page.wait_for_function("document.getElementById('table1').open")
    page.context.close()


def test_without_a_script_and_in_print_everything_is_shown(browser: Any, demo: Path) -> None:
    page = opened(browser, demo, java_script_enabled=False)
    assert page.locator("details:not([open])").count() == 0
    assert page.locator("#table2 td").first.is_visible()
    assert not page.locator("#filters").is_visible()
    page.context.close()
    page = opened(browser, demo)
    page.emulate_media(media="print")
    assert page.locator("#table2 td").first.bounding_box()["height"] > 0
    page.context.close()


def test_the_keyboard_reaches_a_table_that_scrolls_and_its_focus_is_seen(browser: Any, demo: Path) -> None:
    page = opened(browser, demo, viewport={"width": 400, "height": 800})
    box = page.locator(".boardbox")
    while not box.evaluate("one => one === document.activeElement"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement !== document.body"), "the table was not reached"
    assert box.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
    page.context.close()
