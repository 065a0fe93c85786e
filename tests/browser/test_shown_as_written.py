"""Names and texts from outside in a real browser: shown as they were written, never a link, an image, a formula or a request."""

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from filled import pairs
from hostile import attack, fill_hostile, hostile_pair
from playwright.sync_api import Browser, Page, expect

from dashboard import queries
from dashboard.report import content, export
from docs.screenshots import PAGES, SIZES, Served, address, free_port, served, settle, shown, wait_for_answer
from engine.data.records import prompt_row
from engine.plain import line
from engine.store import database

from .axe import findings

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


# The pages, over a cache full of names and texts that point to a server


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    """A server that answers everything and remembers what was asked."""

    class Remembering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.server.asked.append(self.path)  # type: ignore[attr-defined]
            self.send_response(204)
            self.end_headers()

    made = ThreadingHTTPServer(("127.0.0.1", 0), Remembering)
    made.asked = []  # type: ignore[attr-defined]
    Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture(scope="module")
def hostile_cache(server: ThreadingHTTPServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill_hostile(tmp_path_factory.mktemp("hostile") / "cache", f"http://127.0.0.1:{server.server_port}")


@pytest.fixture(scope="module")
def hostile(hostile_cache: Path) -> Iterator[Served]:
    with served(hostile_cache, hostile_cache / "dashboard.log") as dashboard:
        yield dashboard


LEADING = "['href', 'xlink:href', 'src', 'srcset', 'action', 'formaction', 'poster', 'data', 'style', 'background', 'ping', 'content']"


def pointing_to(page: Page, port: int) -> list[str]:
    """Everything on the page that fetches from the server or leads there."""
    found: list[str] = page.evaluate(
        f"""port => {{
            const within = root => [...root.querySelectorAll('*')].flatMap(e => e.shadowRoot ? [e, ...within(e.shadowRoot)] : [e])
            return within(document).flatMap(element => [...element.attributes]
                .filter(one => {LEADING}.includes(one.name) && one.value.includes(':' + port + '/'))
                .map(one => `${{element.tagName}} ${{one.name}}=${{one.value}}`))
        }}""",
        port,
    )
    return found


def hover(page: Page) -> None:
    """Move over every figure, so that its hover box is drawn."""
    for plot in page.locator(".js-plotly-plot .nsewdrag:visible").all():
        plot.scroll_into_view_if_needed()
        if box := plot.bounding_box():
            page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.5)
            page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
            page.wait_for_timeout(60)


def leads_nowhere(page: Page, server: ThreadingHTTPServer) -> None:
    """The attack stands there as it was written; nothing was asked of the server and nothing leads to it."""
    text = page.locator("body").inner_text()
    assert page.get_by_test_id("stException").count() == 0, text
    assert "![x](http" in text  # a chip has room for no more of a name
    assert not re.search(r":color\[|\\\[", text)
    assert pointing_to(page, server.server_port) == []
    assert server.asked == []  # type: ignore[attr-defined]


@pytest.fixture(scope="module", params=PAGES)
def page(hostile: Served, window: Page, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Each page in its turn, opened once for all that is asked of it."""
    yield shown(window, f"{hostile.url}/{address(request.param)}")
    window.emulate_media(color_scheme="light")
    window.set_viewport_size({"width": 1440, "height": SIZES[1440]})


def test_a_page_of_hostile_names_leads_nowhere_and_asks_nothing(page: Page, server: ThreadingHTTPServer) -> None:
    hover(page)
    leads_nowhere(page, server)


def test_a_page_has_no_serious_finding_of_ours_and_its_headings_are_in_order(page: Page) -> None:
    """What axe-core finds, wide and narrow, light and dark, however long the names are."""
    found = list(findings(page))
    assert not found, "\n".join(found)


def test_hostile_pairs_lead_nowhere(hostile: Served, window: Page, server: ThreadingHTTPServer) -> None:
    shown(window, f"{hostile.url}/data")
    window.get_by_test_id("stDataFrame").first.click(position={"x": 14, "y": 50})  # the box of the first row
    expect(window.get_by_text("Pick a row to read the pair.")).to_have_count(0)
    settle(window)
    leads_nowhere(window, server)


def test_a_hostile_prompt_and_its_responses_lead_nowhere(hostile: Served, window: Page, server: ThreadingHTTPServer) -> None:
    """A tab, HTML, Markdown and a turn of the direction of writing are characters of the prompt and of its responses."""
    pair = hostile_pair(pairs()[-1], attack(f"http://127.0.0.1:{server.server_port}"))
    shown(window, f"{hostile.url}/prompts?prompt={prompt_row(pair.turns)['prompt_id']}")
    article = window.locator("article")
    article.locator("summary").click()
    assert article.get_by_role("heading").text_content() == pair.turns[-1].content
    assert article.locator("details .read").all_text_contents() == [pair.chosen, pair.rejected]
    assert article.locator("a, img, script, code, em").count() == 0
    leads_nowhere(window, server)


def test_the_exported_report_leads_nowhere(hostile_cache: Path, window: Page, server: ThreadingHTTPServer, tmp_path: Path) -> None:
    with database.reading(hostile_cache) as con:
        request = content.Request(queries.default_selection(con), content.preset("everything"), ("html",))
    export.write(hostile_cache, request, tmp_path / "report")
    window.goto((tmp_path / "report" / "report.html").as_uri())
    drawn = (tmp_path / "report" / "report.html").read_text(encoding="utf-8").count("<figure>")
    window.wait_for_function(f"document.querySelectorAll('.js-plotly-plot .main-svg').length >= {drawn} && {drawn} > 5")
    leads_nowhere(window, server)
