"""Names and texts from outside in a real browser: shown as they were written, never a link, an image, a formula or a request."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from docs.screenshots import chromium, free_port, wait_for_answer
from engine.plain import line

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
ATTACKS = (
    "![x](http://127.0.0.1:9/p.png)", "[a](http://127.0.0.1:9/) [b][c] [^1] <http://127.0.0.1:9/>", "see http://a.example/?b=c&d=e, ok",
    "www.example.com WWW.example.com", "a.b@example.com mailto:a@example.com xmpp:a@b.cd", "\thttp://tab.example", "    four blanks",
    ":x: :+1: :smile:", ":red[hot] :color[x]{foreground=red} :small[s]", ":material/home: :material_home: :streamlit:",
    "$x^2$ $$y$$ 5$ and $6", "a -- b -> c <- d <-> e >= f <= g ~= h", "a:-- b @-> c", "&amp; &lt;b&gt; &#58; &copy;",
    "<b>bold</b><img src=http://127.0.0.1:9/i.png><script>alert(1)</script><!-- c -->", "# head", "- list", "+ plus", "* star", "1. one",
    "2) two", "> quote", "- - -", "===", "```code```", "`code` ``", "~~strike~~ ~sub~", "**bold** __b__ _i_", "| a | b |",
    "\\ back \\* \\\\", "line\nbreak\n\n# head\n===", "x\u202eabc\u200b\x1b[31mred", "C:\\a\\b", "::http://a.bc", "http\\://a.bc", "中文：http://a.bc。",
)  # fmt: skip
PIECES = r": / @ www. http:// a b.c - < > ~ = [ ] ( ) { } $ ` * _ \ ! # & amp; | ^ 1. 2) material_home color ; % :x:"
LABELS = """
import json, streamlit as st
from dashboard.state.data import literal
for text in json.load(open("texts.json")):
    st.caption(literal(text))
    st.expander(literal(text)).text("")
    st.metric(literal(text), literal(text))
"""
SHOWN = ("[data-testid=stCaptionContainer]", "[data-testid=stExpander] summary p", "[data-testid=stMetricLabel]")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """What Markdown, its extensions and Streamlit's own would make something of, and seeded heaps of their pieces."""
    rng = random.Random(1)
    pieces = [*PIECES.split(), " ", "\n"]
    heaps = ("".join(rng.choices(pieces, k=rng.randint(1, 8))) for _ in range(100))
    return [text for text in dict.fromkeys([*ATTACKS, *heaps]) if line(text)]


@pytest.fixture(scope="module")
def labels(browser: Browser, texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page that has nothing but the texts, as captions and as two kinds of label."""
    folder = tmp_path_factory.mktemp("labels")
    (folder / "texts.json").write_text(json.dumps(texts))
    (folder / "app.py").write_text(LABELS)
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true", f"--server.port={port}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        wait_for_answer(f"http://127.0.0.1:{port}/_stcore/health", process, folder / "log", 60)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}")
        page.wait_for_function(f"document.querySelectorAll('[data-testid=stMetricLabel] p').length == {len(texts)}")
        yield page
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("place", SHOWN)
def test_a_label_shows_what_was_written_whatever_it_is(labels: Page, texts: list[str], place: str) -> None:
    """Everything Streamlit reads as Markdown: links, images, formulas, emoji, icons, colours, arrows, lists, code, entities."""
    shown = [" ".join(text.split()) for text in labels.locator(place).all_text_contents()]
    assert shown == [" ".join(line(text).split()) for text in texts]


def test_no_label_makes_a_link_an_image_or_code(labels: Page) -> None:
    main = labels.get_by_test_id("stMain")
    assert main.locator("a[href], img, code, .katex, em, strong, li, script").count() == 0
