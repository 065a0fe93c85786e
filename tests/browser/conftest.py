"""What the browser tests share: one chromium, and one dashboard over the seeded cache."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from docs.screenshots import Served, chromium, served

expect.set_options(timeout=30_000)  # milliseconds: a busy machine takes longer than the five seconds of the library


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[Page]:
    """One window for all pages, since a fresh one loads the whole frontend again."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    yield page
    page.context.close()


@pytest.fixture(scope="package")
def filled_dashboard(filled_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The pages over the whole experiment of tests/filled.py."""
    with served(filled_cache, tmp_path_factory.mktemp("log") / "dashboard.log") as running:
        yield running
