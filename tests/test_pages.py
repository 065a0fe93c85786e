"""Every page, with nothing and with a whole experiment in the cache."""

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import queries
from engine import store

ROOT = Path(__file__).parents[1]
APP = ROOT / "dashboard" / "app.py"
PAGES = sorted(path.name for path in (ROOT / "dashboard" / "views").glob("*.py"))


def opened(cache: Path, monkeypatch: pytest.MonkeyPatch, page: str = "overview.py", **url: str) -> AppTest:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(cache))
    app = AppTest.from_file(str(APP), default_timeout=60)
    for name, value in url.items():
        app.query_params[name] = value
    app.switch_page(f"views/{page}")
    return app.run()


def said(app: AppTest) -> str:
    kinds = ("title", "subheader", "info", "warning", "error", "caption", "markdown", "text", "metric")
    return "\n".join(
        str(element.value) + str(element.label if kind == "metric" else "") for kind in kinds for element in getattr(app, kind)
    )


@pytest.mark.parametrize("page", PAGES)
def test_page_says_what_to_do_when_the_cache_is_empty(page: str, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(empty_cache, monkeypatch, page)
    assert not app.exception
    assert "Nothing here yet" in said(app)


@pytest.mark.parametrize("page", PAGES)
def test_page_shows_the_whole_experiment(page: str, filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch, page)
    assert not app.exception
    assert not app.error
    assert "Nothing here yet" not in said(app)


def test_first_visit_needs_no_picking(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch)
    accuracies = [m for m in app.metric if "Accuracy" in m.label]
    assert len(accuracies) == 2
    assert all(m.value.endswith("%") for m in accuracies)
    assert "95 % interval" in said(app)


def test_an_unknown_id_in_the_url_is_said_and_the_default_shown(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch, dataset="no-such-set", prompt="nowhere")
    assert not app.exception
    assert any("no\\-such\\-set" in w.value for w in app.warning)
    assert "Headline numbers" in said(app)


def test_a_pick_is_kept_in_the_url(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch)
    app.selectbox(key="pick_split").select("train").run()
    assert app.query_params["split"] == "train"
    assert app.session_state["selection"].split == "train"


def test_a_prompt_has_a_direct_link(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.reading(filled_cache) as con:
        row = queries.prompts(con, queries.default_selection(con)).row(0, named=True)
    app = opened(filled_cache, monkeypatch, "prompts.py", prompt=row["prompt_id"])
    assert not app.exception
    assert row["tuned_answer"] in [c.value for c in app.code]


def test_an_unknown_prompt_is_said(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch, "prompts.py", prompt="nowhere")
    assert any("nowhere" in w.value for w in app.warning)


def test_prompts_are_searched_in_the_database(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch, "prompts.py")
    app.text_input(key="prompt_search").set_value("zzz no prompt holds this").run()
    assert any(c.value.startswith("0 prompts") for c in app.caption)


def test_retrain_form_is_made_from_the_configuration_and_refuses_with_the_field_name(
    filled_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Path(shutil.copytree(filled_cache, tmp_path / "copy"))
    app = opened(cache, monkeypatch, "runs.py")
    app.text_input(key="RewardConfig_learning_rate").set_value("7")
    next(b for b in app.button if b.label == "Start").click().run()
    assert any(e.value.startswith("Learning rate is 7") for e in app.error)


def test_a_database_of_another_version_is_a_sentence_on_the_page(
    filled_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Path(shutil.copytree(filled_cache, tmp_path / "copy"))
    with store.connected(store.database_path(cache), False, 5) as con:
        con.execute("update about set value = 'old'")
    app = opened(cache, monkeypatch)
    assert not app.exception
    assert "another version" in app.error[0].value


def test_a_failed_run_shows_its_sentence_and_what_can_be_done(filled_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Path(shutil.copytree(filled_cache, tmp_path / "copy"))
    from engine.rundir import run_dirs

    run = run_dirs(cache)[-1]
    run.update(state="failed", error="loss is *nan* at step 7")
    app = opened(cache, monkeypatch, "runs.py")
    assert any("loss is \\*nan\\* at step 7" in e.value for e in app.error)
    assert app.button(key=f"resume_{run.id}").label == "Resume"
