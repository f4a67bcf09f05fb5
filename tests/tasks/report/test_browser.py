"""The page in a browser: what a reader does with it, by mouse, keyboard, and on a phone."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

BROWSER = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome on the PATH")

RESULTS = "#detection table >> nth=0"
# Contrast of every text with what lies behind it, as WCAG 2 defines it, least first.
CONTRASTS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const over = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.checkVisibility() || element.tagName === "SCRIPT") continue;
    const behind = [];
    for (let e = element; e; e = e.parentElement) {
      behind.unshift(getComputedStyle(e).backgroundColor);
    }
    const style = getComputedStyle(element);
    const text = element.closest("svg") ? style.fill : style.color;
    const [a, b] = [over(behind), over([...behind, text])].map(luminance);
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.textContent.trim()]);
  }
  return found.sort((a, b) => a[0] - b[0]);
}"""


@dataclass
class Visit:
    """A page that was opened, and what the browser had to say."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox"], timeout=120_000
        )
        yield started
        started.close()


@pytest.fixture
def visit(browser, demo) -> Iterator:
    """Opens the report; afterwards, nothing may have been complained of or asked for."""
    opened: list[Visit] = []

    def open_page(width=1280, height=800, **settings) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        page = context.new_page()
        page.set_default_timeout(60_000)
        visited = Visit(page)
        opened.append(visited)
        page.on("console", lambda message: visited.complaints.append(message.text))
        page.on("pageerror", lambda error: visited.complaints.append(str(error)))
        page.on("request", lambda request: visited.requests.append(request.url))
        page.goto(demo.html.as_uri())
        return page

    yield open_page
    for visited in opened:
        assert visited.complaints == []
        assert visited.requests == [demo.html.as_uri()]
        visited.page.context.close()


def column(page: Page, place: int, table: str = RESULTS) -> list[str]:
    cells = page.locator(table).locator(f"tbody tr:visible > :nth-child({place + 1})")
    return [cell.split("\n")[0].strip() for cell in cells.all_inner_texts()]


def header(page: Page, title: str):
    return page.locator(RESULTS).get_by_role("columnheader", name=title, exact=True)


def test_the_page_opens_from_a_file_without_network_and_complaints(visit):
    page = visit()
    assert page.title() == "Normalisation layers, measured"  # which a script of a name would change
    page.wait_for_load_state("networkidle")


def test_a_click_on_a_header_sorts(visit):
    page = visit()
    before = column(page, 1)
    title = header(page, "box AP")
    title.get_by_role("button").click()
    assert title.get_attribute("aria-sort") == "ascending"
    figures = [float(text.split(" ")[0]) for text in column(page, 2)]
    assert figures == sorted(figures)
    title.get_by_role("button").click()
    assert title.get_attribute("aria-sort") == "descending"
    assert [float(text.split(" ")[0]) for text in column(page, 2)] == figures[::-1]
    header(page, "Norm").get_by_role("button").click()
    assert title.get_attribute("aria-sort") is None
    assert column(page, 1) == sorted(before)


def test_the_keyboard_sorts_too(visit):
    page = visit()
    header(page, "s/iteration").get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert header(page, "s/iteration").get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Space")
    assert header(page, "s/iteration").get_attribute("aria-sort") == "descending"


def test_filters_by_norm_and_by_task(visit):
    page = visit()
    assert page.get_by_role("status").inner_text() == "6 of 6 rows"
    page.get_by_role("checkbox", name="BN", exact=True).uncheck()
    assert column(page, 1) == ["GN", "SN", "SSN"]
    assert page.get_by_role("status").inner_text() == "5 of 6 rows"
    page.get_by_role("checkbox", name="classification").uncheck()
    assert page.locator("#classification").is_hidden()
    assert page.locator("#detection").is_visible()
    assert page.get_by_role("status").inner_text() == "3 of 6 rows"
    page.get_by_role("button", name="Show all").click()
    page.get_by_text("6 of 6 rows").wait_for()
    assert page.locator("#classification").is_visible()


def test_a_norm_with_a_hostile_name_is_filtered_by_it(visit):
    page = visit()
    page.get_by_role("checkbox", name="<script>").uncheck()
    assert page.get_by_role("status").inner_text() == "5 of 6 rows"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_is_the_system_s_until_it_is_chosen(visit, scheme):
    page = visit(color_scheme=scheme)
    background = "getComputedStyle(document.body).backgroundColor"
    first = page.evaluate(background)
    button = page.get_by_role("button", name="Dark")
    assert button.get_attribute("aria-pressed") == str(scheme == "dark").lower()
    button.click()
    assert page.evaluate(background) != first
    assert button.get_attribute("aria-pressed") == str(scheme == "light").lower()
    button.click()
    assert page.evaluate(background) == first


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast(visit, scheme):
    page = visit(color_scheme=scheme)
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 200
    assert [found for found in contrasts if found[0] < 4.5] == []


def test_on_a_phone_the_page_is_as_wide_as_the_screen(visit):
    page = visit(360, 740)
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.get_by_role("region", name="Detection, results").evaluate("e => e.scrollBy(200, 0)")
    assert page.evaluate("scrollX") == 0


def test_every_control_and_picture_has_a_name(visit):
    page = visit()
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    named = ("button", "checkbox", "link", "region", "image", "DisclosureTriangle", "table",
             "navigation", "heading")  # fmt: skip
    nodes = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree
        if not node.get("ignored") and node["role"]["value"] in named
    ]
    assert {role for role, _ in nodes} >= {"button", "checkbox", "link", "region", "table"}
    nameless = [role for role, name in nodes if not name.strip()]
    assert nameless == []


def test_headings_go_down_by_one_level(visit):
    levels = [
        int(tag[1])
        for tag in visit().locator("h1, h2, h3, h4").evaluate_all("all => all.map(e => e.tagName)")
    ]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_the_first_tab_leads_to_the_tables(visit):
    page = visit()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the tables"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_without_scripts_the_tables_are_there_and_no_dead_control(browser, demo):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(demo.html.as_uri())
    assert page.locator("#detection table").first.is_visible()
    assert page.locator(".controls").is_hidden()
    context.close()


def test_print_is_light_whatever_the_theme(visit):
    page = visit(color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(252, 252, 250)"
    assert page.locator(".controls").is_hidden()


def test_print_shows_what_is_folded(visit):
    page = visit()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0
