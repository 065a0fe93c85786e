"""No sentence is missing in Chinese: what the code says is in the catalogue and translated, and pages, figures and reports use it."""

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typst
from babel.messages.catalog import Message
from pydantic import ValidationError
from pypdf import PdfReader
from streamlit.testing.v1 import AppTest

from dashboard import figures, queries
from dashboard.figures.theme import broken, columns_of
from dashboard.report import content, export, typesetting
from dashboard.state import messages
from dashboard.state.messages import _, counted, estimated, language, ours, reported, speaking
from docs import catalogue
from engine.settings.config import CONFIGS
from engine.statistics.claims import claims
from engine.statistics.estimate import Estimate
from engine.statistics.wording import BLANK, THIN
from engine.store import database

ROOT = Path(__file__).parents[1]
PAGES = sorted(path.name for path in (ROOT / "dashboard" / "views").glob("*.py"))
HAN = re.compile("[\u4e00-\u9fff]")
PLACES = re.compile(r"%?\{[^{}]*\}")  # of values, ours and Plotly's
CHINESE = messages.read("zh")
SENTENCES = [message for message in CHINESE if message.id]


class Untranslated(gettext.NullTranslations):
    """What is asked for and is not in the catalogue."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def gettext(self, message: str) -> str:
        self.found.add(message)
        return message

    def ngettext(self, one: str, many: str, n: int) -> str:
        return self.gettext(many)

    def npgettext(self, context: str, one: str, many: str, n: int) -> str:
        return self.gettext(many)


@pytest.fixture
def untranslated(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """The sentences that were wanted in Chinese and are not there; gettext asks its fallback for them."""
    messages.catalogue.cache_clear()
    missing = Untranslated()
    messages.catalogue("zh").add_fallback(missing)
    yield missing.found
    messages.catalogue.cache_clear()


def forms(message: Message) -> tuple[str, ...]:
    return catalogue.strings(message.id)


def test_the_catalogue_holds_exactly_what_the_code_says() -> None:
    """`python -m docs.catalogue` writes what is new into dashboard/locale and takes out what is gone."""
    said = {(message.context, forms(message)): message.locations[0][0] for message in catalogue.gathered() if message.id}
    known = {(message.context, forms(message)) for message in SENTENCES}
    assert not {words: place for words, place in said.items() if words not in known}
    assert not known - said.keys()


def test_every_sentence_is_translated() -> None:
    assert not [message.id for message in SENTENCES if not all(catalogue.strings(message.string))]


def test_a_translation_has_the_places_of_its_sentence() -> None:
    wrong = [m.id for m in SENTENCES if sorted(PLACES.findall(forms(m)[-1])) != sorted(PLACES.findall(catalogue.strings(m.string)[0]))]
    assert not wrong


def calls_of_the_translator(path: Path) -> Iterator[tuple[ast.Call, bool]]:
    """Each call of `_`, and whether it is made when its module is loaded."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        id(node) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.Lambda) for part in bodies(f) for node in ast.walk(part)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
            yield node, id(node) not in inside


def bodies(function: ast.FunctionDef | ast.Lambda) -> list[ast.stmt] | list[ast.expr]:
    return function.body if isinstance(function, ast.FunctionDef) else [function.body]


@pytest.mark.parametrize("path", sorted((ROOT / "dashboard").rglob("*.py")), ids=lambda path: path.stem)
def test_a_module_translates_when_it_is_asked_not_when_it_is_loaded(path: Path) -> None:
    """Only the scripts that are run for each viewer may call `_` outside a function; values stand in named places."""
    found = list(calls_of_the_translator(path))
    assert path.parent.name == "views" or path.name == "app.py" or not [call.lineno for call, loaded in found if loaded]
    assert not [call.lineno for call, _loaded in found if isinstance(call.args[0], ast.JoinedStr | ast.BinOp)]


def test_chinese_sentences_have_a_blank_between_chinese_and_latin_letters_numbers_or_values() -> None:
    """A place may be filled with either: where the value is Chinese, the blank falls away again."""
    tight = re.compile("[\u4e00-\u9fff][A-Za-z0-9{]|[A-Za-z0-9}%][\u4e00-\u9fff]")
    assert not [text for message in SENTENCES for text in catalogue.strings(message.string) if tight.search(text)]
    with speaking("zh"):
        answers = _("answers of {generator}")
        assert [answers.format(generator=name) for name in ("DPO", "基础")] == ["DPO 的回答", "基础的回答"]
        filled = messages.wording().fill("在 {n:pairs} 中，{name} 胜", {"n": 40, "name": "DPO"})
        assert filled == f"在 40{BLANK}个偏好对中，DPO 胜"
        assert [messages.duration(seconds) for seconds in (57, 229, 3900)] == [
            f"57{BLANK}秒", f"3{BLANK}分钟 49{BLANK}秒", f"1{BLANK}小时 05{BLANK}分钟",
        ]  # fmt: skip


def test_what_is_counted_or_estimated_is_written_in_the_viewers_language() -> None:
    """The engine writes English; pages and figures write through the functions of the same names in dashboard.state.messages."""
    english = re.compile(r"\bwording\.(counted|duration|estimated|interval)\b|wording import .*\b(counted|duration|estimated|interval)\b")
    files = [path for path in (ROOT / "dashboard").rglob("*.py") if path.name != "messages.py"]
    assert not [path.name for path in files if english.search(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_in_chinese_misses_no_sentence(
    page: str, filled_cache: Path, monkeypatch: pytest.MonkeyPatch, untranslated: set[str]
) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(filled_cache))
    app = AppTest.from_file(str(ROOT / "dashboard" / "app.py"), default_timeout=60)
    app.session_state["language"] = "zh"
    app.switch_page(f"views/{page}")
    app.run()
    assert not app.exception
    assert HAN.search(app.title[0].value)
    assert not untranslated


def test_the_switch_changes_the_language_of_the_session(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(filled_cache))
    app = AppTest.from_file(str(ROOT / "dashboard" / "app.py"), default_timeout=60).run()
    assert app.title[0].value.startswith("The reward model ranks")
    app.button_group(key="language").set_value("zh").run()
    assert app.title[0].value.startswith("奖励模型")
    assert "language" not in app.query_params
    assert language() == "en"  # of everybody else


def test_figures_and_claims_in_chinese_miss_no_sentence(filled_cache: Path, untranslated: set[str]) -> None:
    with database.reading(filled_cache) as con, speaking("zh"):
        database.show_live(con, filled_cache)
        selection = queries.default_selection(con)
        said = [figures.render(figure, con, selection).layout.title.text for figure in figures.FIGURES]
        told = [claim.text(messages.wording()) for claim in claims(con, selection)]
    assert all(HAN.search(words) for words in [*said, *told])
    assert not untranslated


def test_every_setting_has_its_name_and_its_tooltip_in_chinese() -> None:
    with speaking("zh"):
        plain = {text for model in CONFIGS.values() for text in catalogue.of_settings(model) if " " in text and not HAN.search(_(text))}
    assert plain <= {"DPO + NLL (RPO)", "Robust DPO", "Guided DPO", "bradley terry", "robust dpo", "ld dpo", "r dpo", "guided dpo"}


def test_numbers_keep_their_form_and_words_take_that_of_the_language() -> None:
    rate = Estimate(0.8, -float("inf"), 0.9, 30_000)
    assert (counted(30_000, "pairs"), estimated(rate)) == (f"30{THIN}000{BLANK}pairs", f"80.0{BLANK}%{BLANK}[below 90.0]")
    with speaking("zh"):
        assert (counted(30_000, "pairs"), estimated(rate)) == (f"30,000{BLANK}个偏好对", f"80.0{BLANK}%{BLANK}[低于 90.0]")
        assert (counted(1, "runs"), _("pair")) == (f"1{BLANK}次运行", "偏好对")


def test_what_the_engine_reports_is_recognised_with_its_values() -> None:
    """A sentence within a sentence is translated too; one that is not known stays as it is, and so do braces in a value."""
    with speaking("zh"):
        assert reported("run 0a {x} is running: cancel it first") == "运行 0a {x} 正在进行：请先取消"
        assert reported("memory is tight: the prompt is empty: expected a text") == "内存紧张：提示词为空：应有文本"
        assert reported("no such words") == "no such words"
    assert reported("run 0a is running: cancel it first") == "run 0a is running: cancel it first"


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("learning_rate", "-1", "应大于 0"),
        ("batch_size", 0, "应不小于 1"),
        ("epochs", "two", "应为整数，无法把文本读成整数"),
        ("name", "", "文本应至少有 1 个字符"),
        ("on_oom", "wait", "应为 'split' or 'fail'"),
    ],
)
def test_what_pydantic_says_of_a_typed_value_is_recognised(field: str, typed: object, said: str) -> None:
    with pytest.raises(ValidationError) as refused, speaking("zh"):
        CONFIGS["reward"].model_validate({"kind": "reward", "dataset": "d", field: typed})
    with speaking("zh"):
        assert reported(refused.value.errors()[0]["msg"]) == said


def test_chinese_lines_are_broken_by_their_width_and_never_before_a_comma() -> None:
    """Ten columns hold five characters; the comma stays with the fifth; a word in Latin letters is not divided."""
    assert broken("奖励模型对，未见过的 pairs 排序", 10) == ["奖励模型", "对，未见过", "的 pairs", "排序"]
    assert columns_of("n = 5，对") == 9


@pytest.mark.slow
def test_a_report_in_chinese_has_chinese_characters_in_a_chinese_font(filled_cache: Path, tmp_path: Path) -> None:
    """In the PDF, the HTML and the LaTeX: headings, findings, captions. The embedded font has the Chinese forms, not the Japanese ones."""
    with database.reading(filled_cache) as con:
        selection = queries.default_selection(con)
    request = content.Request(selection, ("scores_trained", "accuracy_of_lengths"), ("pdf", "html", "tex"))
    with speaking("zh"):
        export.write(filled_cache, request, tmp_path)
    pages = PdfReader(tmp_path / "report.pdf").pages
    text = "".join(page.extract_text() for page in pages)
    fonts = {str(font["/BaseFont"]) for page in pages for font in page["/Resources"]["/Font"].values()}  # type: ignore[index]
    assert all(words in text for words in ("主要发现", "奖励模型", "图 1", "95 % 置信区间"))
    assert any("CJKsc" in name for name in fonts)
    assert not any("CJKjp" in name for name in fonts)
    html, latex = ((tmp_path / name).read_text(encoding="utf-8") for name in ("report.html", "report.tex"))
    assert "<html lang='zh'>" in html
    assert r"\renewcommand{\figurename}{\other{图}}" in latex
    assert "训练后的模型分得清两者吗" in html


def test_without_a_chinese_font_the_report_says_so() -> None:
    none = typst.Fonts(include_system_fonts=False)
    assert typesetting.missing_font(none) is None
    with speaking("zh"):
        assert "Noto Sans CJK" in (typesetting.missing_font(none) or "")
        assert typesetting.missing_font(typesetting.fonts()) is None


def test_names_that_nobody_gave_are_said_in_the_viewers_language_and_others_stay() -> None:
    """Those of presets' runs, with a number or inside another, of the usual splits and of the demo's types; never a user's own."""
    with speaking("zh"):
        assert (ours("Reward model"), ours("Reward model 2"), ours("Base")) == ("奖励模型", "奖励模型 2", "基础")
        assert (ours("Scores of Reward model 2"), ours("Scores of mine")) == ("奖励模型 2 的打分", "mine 的打分")
        assert (ours("untrained (seed 7)"), ours("validation"), ours("safety")) == ("未训练（随机种子 7）", "验证集", "安全")
        own = ["mine", "mine 2", "DPO", "validation_hard", "My reward model", "Safety", ""]
        assert [ours(name) for name in own] == own
        assert reported("scoring with “Reward model”") == "正在用“奖励模型”打分"
        assert reported("scoring with “untrained (seed 7)”") == "正在用“未训练（随机种子 7）”打分"
    assert ours("Reward model") == "Reward model"
