"""A prompt of one's own to two scored answers, two answers of one's own, and a response token by token: in a browser, with tiny models."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from docs.screenshots import Served, opened, served, settle
from engine.store.server import server_of

pytestmark = pytest.mark.browser
NASTY = "Is <img src=x onerror=alert(1)> **bold** [safe](javascript:alert(2)) for $x$?"
WAIT = 180_000  # milliseconds for a process that loads torch on a busy machine


@pytest.fixture(scope="module")
def cache(toy_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy experiment's cache as one of its own, since its playground writes a lock."""
    return Path(shutil.copytree(toy_cache, tmp_path_factory.mktemp("playground") / "cache"))


@pytest.fixture(scope="module")
def dashboard(cache: Path) -> Iterator[Served]:
    with served(cache, cache / "dashboard.log") as running:
        yield running


@pytest.fixture(scope="module")
def page(dashboard: Served, browser: Browser) -> Page:
    return opened(browser, f"{dashboard.url}/playground")


def written(page: Page, label: str, text: str) -> None:
    field = page.get_by_label(label, exact=True)
    field.fill(text)
    field.press("Control+Enter")
    page.wait_for_timeout(300)
    settle(page)


def answers(page: Page) -> Locator:
    return page.locator(".answers .read")


def test_a_prompt_becomes_two_answers_and_their_scores(page: Page) -> None:
    """Texts of models and of the reader are shown as they are written: nothing in them is an image, a link, bold or a formula."""
    faults: list[str] = []
    page.on("dialog", lambda dialog: faults.append(dialog.message))
    page.on("pageerror", lambda error: faults.append(str(error)))
    written(page, "Prompt", NASTY)
    written(page, "Longest answer in tokens", "12")
    page.get_by_role("button", name="Answer", exact=True).click()
    expect(page.get_by_role("heading", name=re.compile(r"^toy prefers (the (base|tuned)|neither) answer"))).to_be_visible(timeout=WAIT)
    settle(page)
    expect(answers(page)).to_have_count(2)
    expect(page.locator(".answers .facts").filter(has_text=re.compile(r"\d+\stokens?"))).to_have_count(2)
    expect(page.get_by_text(f"To the prompt: {NASTY}")).to_be_visible()
    assert page.locator("img[src=x], a[href^=javascript], .katex").count() == 0
    assert faults == []


def test_a_response_is_looked_at_token_by_token_with_the_keyboard(page: Page) -> None:
    """Its tokens join to the answer and its end of turn; arrow keys go from one to the next and tell its numbers."""
    page.get_by_text("Score along the answer, token by token").click()
    page.get_by_role("button", name=re.compile("Load the models")).click()
    tokens = page.locator(".tokens .token")
    tokens.first.wait_for(timeout=WAIT)
    assert "".join(tokens.all_text_contents()).replace("·", "").endswith("<|im_end|>")
    tokens.first.focus()
    expect(page.locator(".tokens .detail")).to_contain_text("log π_ref")
    page.keyboard.press("ArrowRight")
    expect(tokens.nth(1)).to_be_focused()
    assert tokens.nth(1).get_attribute("aria-label")
    page.locator(".tokens").get_by_role("button", name="Reward model").click()
    tokens.first.hover()
    expect(page.locator(".tokens .detail")).to_contain_text("reward after it")


def test_two_answers_of_ones_own_are_scored(page: Page) -> None:
    page.get_by_text("Score two answers of mine").click()
    settle(page)
    written(page, "First answer", "Start small. Take your time.")
    written(page, "Second answer", "Never mind, guess.")
    page.get_by_role("button", name="Score", exact=True).click()
    expect(page.get_by_role("heading", name=re.compile(r"^toy prefers the (first|second) answer, by \d"))).to_be_visible(timeout=WAIT)


def test_its_process_ends_with_the_dashboard(page: Page, dashboard: Served, cache: Path) -> None:
    assert server_of(cache) is not None
    dashboard.process.kill()
    for _ in range(100):
        if server_of(cache) is None:
            break
        page.wait_for_timeout(200)
    assert server_of(cache) is None
