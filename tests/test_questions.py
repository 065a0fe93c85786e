"""Where docs/dpo.md and docs/reward-models.md say that something is seen, it is there."""

import re
from pathlib import Path

import pytest

from dashboard.figures import FIGURES
from engine.statistics.registry import STATISTICS

ROOT = Path(__file__).parents[1]
PAGES = {title: name for name, title in re.findall(r'"(\w+)": _\("([^"]+)"\)', (ROOT / "dashboard/app.py").read_text())}
FIGURE_PAGES = {figure.number: figure.page for figure in FIGURES}
DOCUMENTS = ("docs/dpo.md", "docs/reward-models.md")
FIGURE = re.compile(r"\*([A-Z][\w ]+)\*, figures? (\d+[a-f]?(?:, \d+[a-f]?)*)")
SEEN = [line for path in DOCUMENTS for line in re.findall(r"^\*\*Seen on:\*\*.+?(?=\n\n)", (ROOT / path).read_text(), re.M | re.S)]
TABLES = [cell for path in DOCUMENTS for cell in re.findall(r"\| ([^|\n]*) \|$", (ROOT / path).read_text(), re.M)]


def test_every_question_says_where_its_answer_is_seen() -> None:
    questions = [heading for path in DOCUMENTS for heading in re.findall(r"^## (.+\?)$", (ROOT / path).read_text(), re.M)]
    assert len(questions) == len(SEEN) >= 10


@pytest.mark.parametrize("line", SEEN)
def test_pages_and_statistics_that_are_named_are_there(line: str) -> None:
    named = re.findall(r"\*([A-Z][\w ]+)\*", line)
    assert named
    assert set(named) <= PAGES.keys()
    assert set(re.findall(r"`([a-z_]+)`", line)) <= STATISTICS.keys()


@pytest.mark.parametrize(("page", "numbers"), [place for text in (*SEEN, *TABLES) for place in FIGURE.findall(text)])
def test_figures_that_are_named_are_on_that_page(page: str, numbers: str) -> None:
    assert {FIGURE_PAGES[number] for number in numbers.split(", ")} == {PAGES[page]}
