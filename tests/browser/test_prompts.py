"""The Prompts page in a real browser: walked by keys, searched, sent as a link, and read on a narrow screen."""

import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from filled import DATASET, fill, pairs
from playwright.sync_api import Browser, Page, expect

from docs.screenshots import SIZES, Served, opened, served, settle, shown
from engine.data.records import PreferencePair, Turn
from engine.settings.slices import Range, Slice

pytestmark = pytest.mark.browser
PROMPTS = 205  # five more than a page of the list has


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The pages over an experiment of the kitchen's prompts and enough others to fill more than one page of the list."""
    cache = tmp_path_factory.mktemp("prompts") / "cache"
    more = [
        PreferencePair((Turn("user", f"What is {n} times 7?"),), f"It is {7 * n}.", "I do not know.", "sums", "sums.jsonl", n)
        for n in range(PROMPTS - len(pairs()) + 6)
    ]
    with served(fill(cache, steps=8, given=[*pairs(), *more]), cache / "dashboard.log") as running:
        yield running


@pytest.fixture
def page(dashboard: Served, window: Page) -> Page:
    return shown(window, f"{dashboard.url}/prompts")


def expect_place(page: Page, place: int, of: int = PROMPTS) -> None:
    """The prompt that is read is this one, and its row is the one that is marked."""
    expect(page.locator("article .tools b")).to_have_text(f"{place} of {of}")
    row, heading = page.locator(".row[aria-selected=true] .prompt"), page.locator("article h2")
    assert row.text_content() == heading.text_content()


def test_keys_walk_through_the_prompts_also_from_one_page_of_the_list_to_the_next(page: Page, dashboard: Served) -> None:
    expect_place(page, 1)
    for key, place in (("j", 2), ("j", 3), ("k", 2)):
        page.keyboard.press(key)
        expect_place(page, place)
    expect(page).to_have_url(re.compile(r"[?&]prompt=[0-9a-f]{16}"))
    page.get_by_role("listbox").focus()
    page.keyboard.press("ArrowDown")
    expect_place(page, 3)
    page.get_by_role("button", name="Further prompts").click()
    expect(page.locator(".pages")).to_contain_text("201 to 205 of 205")
    expect(page.locator("article .tools b")).to_have_text("3 of 205")  # turning the page leaves the one that is read
    page.locator(".row").first.click()
    expect_place(page, 201)
    page.keyboard.press("k")
    expect_place(page, 200)
    page.keyboard.press("J")
    expect_place(page, 201)


def test_a_slash_leads_to_the_search_and_typing_there_moves_nothing(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("jk times 7")
    expect_place(page, 1)
    page.keyboard.press("Control+A")
    page.keyboard.type("times 7")
    page.keyboard.press("Enter")
    expect_place(page, 1, PROMPTS - 30)
    assert "search=times+7" in page.url or "search=times%207" in page.url


def test_what_was_searched_for_is_lit_in_the_list_and_in_the_answers_in_whatever_case(dashboard: Served, window: Page) -> None:
    """The tuned answer repeats its question, so that both light it; a sign of regular expressions is looked for as itself."""
    page = shown(window, f"{dashboard.url}/prompts?search=IS+17+times+7%3F")
    expect(page.locator(".row .hit")).to_have_text("is 17 times 7?")
    expect(page.locator("h2 .hit")).to_have_text("is 17 times 7?")
    expect(page.locator(".answer.tuned > .read .hit")).to_have_text("is 17 times 7?")
    expect(page.locator(".answer.base > .read .hit")).to_have_count(0)
    expect(page.locator("article h2")).to_have_text("What is 17 times 7?")


def test_a_copied_link_shows_the_same_to_whoever_opens_it(page: Page, browser: Browser) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_text(re.compile("Base \\d+")).click()
    settle(page)
    page.keyboard.press("j")
    settle(page)
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    other = opened(browser, page.evaluate("navigator.clipboard.readText()"))
    expect(other.locator("article h2")).to_have_text(page.locator("article h2").text_content() or "")
    assert other.locator(".row").all_text_contents() == page.locator(".row").all_text_contents()
    assert other.locator(".row[aria-selected=true]").text_content() == page.locator(".row[aria-selected=true]").text_content()
    other.context.close()


def test_of_answers_that_share_few_words_no_word_is_marked_as_a_difference(page: Page) -> None:
    """“Well, it depends.” and “Let us see, step by step.” have no word in common, which is said; the choice stands in the address."""
    nothing = "No longer passage stands in both answers: nothing is marked."
    plain, marked = page.locator("article .why").first, page.locator("article .what").first
    expect(plain).to_have_text(nothing)
    expect(marked).to_be_hidden()
    page.get_by_role("button", name="In common").click()
    expect(marked).to_have_text(nothing)
    expect(plain).to_be_hidden()
    expect(page.locator("article > .compared mark")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"[?&]marks=all"))
    page.get_by_role("button", name="Plain").click()
    expect(page).not_to_have_url(re.compile("marks="))


def test_a_narrow_screen_shows_the_list_then_the_prompt_and_the_list_again(dashboard: Served, window: Page) -> None:
    window.set_viewport_size({"width": 390, "height": SIZES[390]})
    page = shown(window, f"{dashboard.url}/prompts")
    expect(page.locator("article")).to_be_hidden()
    page.locator(".row").nth(2).click()
    expect(page.locator("article h2")).to_be_visible()
    expect(page.locator(".row").first).to_be_hidden()
    settle(page)
    page.keyboard.press("Escape")
    expect(page.locator("article")).to_be_hidden()
    expect(page.locator(".row").nth(2)).to_have_attribute("aria-selected", "true")
    settle(page)
    assert "prompt=" not in page.url
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("article .tools b")).to_have_text("4 of 205")
    page.get_by_role("button", name="← List").click()
    expect(page.locator("article")).to_be_hidden()


def test_what_is_asked_for_stands_in_one_line_however_long_it_is(page: Page, dashboard: Served) -> None:
    page.set_viewport_size({"width": 1440, "height": SIZES[1440]})
    shown(page, f"{dashboard.url}/prompts?flag=base_repeats")
    ends = [page.locator(f".st-key-{name}").bounding_box() for name in ("prompt_search", "csv_prompts")]
    middles = [box["y"] + box["height"] / 2 for box in ends if box]
    assert middles[0] == pytest.approx(middles[1], abs=8)


def test_on_a_narrow_screen_the_slice_is_the_first_of_the_chips(browser: Browser, dashboard: Served) -> None:
    slice = Slice(dataset_id=DATASET, predicates=(Range(field="longer_by", low=1),))
    narrow = opened(browser, f"{dashboard.url}/prompts?slice={quote(slice.as_json())}", 390)
    chips = [narrow.locator(f".st-key-chip_{name}").bounding_box() for name in ("slice", "dataset")]
    first, second = (box["x"] for box in chips if box)
    assert 0 <= first < second
    narrow.context.close()


def test_on_a_narrow_screen_a_link_to_a_prompt_leads_to_it(browser: Browser, dashboard: Served) -> None:
    """The last pair's prompt is read, at the top of the window instead of below the page's answer and its filters."""
    narrow = opened(browser, f"{dashboard.url}/prompts?prompt={pairs()[-1].prompt_id}", 390)
    heading = narrow.locator("article h2")
    expect(heading).to_have_text("Tell me a short story.")
    box = heading.bounding_box()
    assert box is not None
    assert 100 < box["y"] < 250  # with its tools, below Streamlit's own line over the page
    narrow.context.close()
