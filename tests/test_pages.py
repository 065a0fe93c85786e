"""Every page, with nothing and with a whole experiment in the cache."""

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import polars as pl
import pytest
from filled import DATASET, write_run
from streamlit.testing.v1 import AppTest

from dashboard import queries
from dashboard.state.data import literal
from engine.data.results import import_results
from engine.settings.config import GenerateConfig, PolicyConfig, RewardConfig
from engine.store import database, opening
from engine.store.rundir import STOP, RunDir, run_dirs, take_lock, write_json
from engine.store.status import State

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
APP = ROOT / "dashboard" / "app.py"
PAGES = sorted(path.name for path in (ROOT / "dashboard" / "views").glob("*.py"))


def opened(cache: Path, monkeypatch: pytest.MonkeyPatch, page: str = "overview.py", **url: str | list[str]) -> AppTest:
    monkeypatch.setenv("PREFSCOPE_CACHE", str(cache))
    app = AppTest.from_file(str(APP), default_timeout=60)
    for name, value in url.items():
        app.query_params[name] = value
    app.switch_page(f"views/{page}")
    return app.run()


def said(app: AppTest) -> str:
    kinds = ("title", "header", "subheader", "info", "warning", "error", "caption", "markdown", "text", "metric")
    return "\n".join(
        str(element.value) + str(element.label if kind == "metric" else "") for kind in kinds for element in getattr(app, kind)
    )


@pytest.mark.parametrize("page", PAGES)
def test_page_says_what_to_do_when_the_cache_is_empty(page: str, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(empty_cache, monkeypatch, page)
    assert not app.exception
    assert "Nothing here yet" in said(app)


def test_answers_without_pairs_are_named_with_what_they_wait_for(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = empty_cache.with_name("answers.jsonl")
    answers.write_text('{"prompt": "How?", "response": "So.", "reward": 1.0}\n')
    import_results(empty_cache, answers, generator="*DPO*")
    app = opened(empty_cache, monkeypatch)
    assert not app.exception
    assert r"Answers of \*DPO\* are here. They are compared on the prompts of a dataset" in said(app)
    assert "Nothing here yet" not in said(app)


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        *((page, "reward") for page in ("overview", "training", "reward_model", "length_bias", "runs")),
        *((page, "policy") for page in ("dpo_vs_base", "playground")),
    ],
)
def test_where_no_model_was_trained_a_button_of_the_page_opens_the_drawer(
    page: str, kind: str, cache: Path, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(cache, monkeypatch, f"{page}.py")
    button = app.button(key=f"train_{kind}")
    assert button.label.endswith("Train a reward model on toy …" if kind == "reward" else "Fine-tune a policy on toy …")
    assert app.button(key="retrain").label == "Train …"
    button.click().run()
    assert not app.exception
    assert app.session_state["retrain_kind"] == kind
    assert app.button(key="retrain_start").label == "Train"
    assert any(box.label == "Let base model and policy answer the validation prompts" for box in app.checkbox) == (kind == "policy")
    policy = "Policy (Train a policy), Base answers (Answer prompts), Answers of Policy (Answer prompts)"
    captions = [caption.value for caption in app.caption]
    assert f"Queued, in this order: {policy if kind == 'policy' else 'Reward model (Train a reward model)'}." in captions
    assert "The maps stay as they are." not in captions, "there are none"


@pytest.mark.parametrize(("state", "offered"), [(State.CANCELLED, True), (State.QUEUED, False), (State.DONE, False)])
def test_a_page_without_answers_names_the_step_that_leads_to_them(
    state: State, offered: bool, cache: Path, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancelled policy is none; one that waits is named, and only a finished one can be let answer."""
    device = take_lock(cache / "locks" / "cpu.lock")
    write_run(cache, "20260103-000000-policy", PolicyConfig(name="my policy", dataset=dataset, device="cpu"), state)
    app = opened(cache, monkeypatch, "dpo_vs_base.py")
    assert device is not None
    os.close(device)
    keys = [button.key for button in app.button]
    assert ("train_policy" in keys, "train_reward" in keys) == (offered, True)
    assert "A reward model is needed to judge the answers" in said(app)
    assert ("under way: my policy." in said(app), "Let both answer" in said(app)) == (state is State.QUEUED, state is State.DONE)


def test_what_a_comparison_lacks_is_to_be_made_in_numbered_steps(cache: Path, dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three buttons train something; the first step alone stands out."""
    app = opened(cache, monkeypatch, "dpo_vs_base.py")
    buttons = {button.key: button for button in app.button if button.key in ("retrain", "train_reward", "train_policy")}
    steps = "1. Train a reward model on toy …", "2. Fine-tune a policy on toy …"
    assert "train one here. No policy was trained on this dataset yet. Fine-tune one" in said(app), "in the order of the buttons"
    assert tuple(buttons[f"train_{kind}"].label for kind in ("reward", "policy")) == tuple(map(literal, steps))
    assert [key for key, button in buttons.items() if button.proto.type == "primary"] == ["train_reward"]


@pytest.mark.parametrize("waits", [False, True])
def test_prompts_that_nobody_answers_lead_to_those_that_are_or_will_be(
    waits: bool, filled_cache: Path, cache: Path, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if waits:
        device = take_lock(cache / "locks" / "cpu.lock")
        answers = GenerateConfig(name="my answers", dataset=dataset, device="cpu", split="validation")
        write_run(cache, "20260103-000000-answers", answers, State.QUEUED)
        write_run(cache, "20260102-000000-policy", PolicyConfig(name="my policy", dataset=dataset, device="cpu"), State.DONE)
    app = opened(cache if waits else filled_cache, monkeypatch, "dpo_vs_base.py", split="train")
    if waits:
        assert device is not None
        os.close(device)
    sentence = "Their answers will be to the prompts of validation" if waits else "The prompts of validation are answered by both."
    assert sentence in said(app)
    app.button(key="look_elsewhere").click().run()
    assert app.query_params["split"] == "validation"


def test_answers_to_come_to_the_prompts_that_are_looked_at_lead_nowhere_else(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of validation are answered already."""
    device = take_lock(own_cache / "locks" / "cpu.lock")
    answers = GenerateConfig(name="my answers", dataset=DATASET, device="cpu", split="train")
    write_run(own_cache, "20260103-000000-answers", answers, State.QUEUED)
    app = opened(own_cache, monkeypatch, "dpo_vs_base.py", split="train")
    assert device is not None
    os.close(device)
    assert "under way: my answers." in said(app)
    assert "look_elsewhere" not in [button.key for button in app.button]


def test_a_run_that_is_being_cancelled_says_so_everywhere_and_what_waits_for_it_that_it_will_not_start(
    cache: Path, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = write_run(cache, "20260102-000000-policy", PolicyConfig(name="my policy", dataset=dataset, device="cpu"), State.RUNNING)
    waiting = GenerateConfig(name="my answers", dataset=dataset, device="cpu", policy=policy.id, parents=(policy.id,))
    write_run(cache, "20260103-000000-answers", waiting, State.QUEUED)
    locks = [take_lock(place) for place in (policy.path / "lock", cache / "locks" / "cpu.lock")]
    (policy.path / STOP).write_text(policy.id)
    app = opened(cache, monkeypatch, "dpo_vs_base.py")
    assert "These runs are under way" not in said(app)
    assert "being cancelled: my answers." in said(app)
    assert app.get("progress")[0].proto.text.replace("\\", "").startswith("my policy: cancelling …")
    runs = next(table.value for table in opened(cache, monkeypatch, "runs.py").dataframe if "state" in table.value)
    for lock in locks:
        assert lock is not None
        os.close(lock)
    assert dict(zip(runs["run"], runs["state"], strict=True)) == {"my policy": "cancelling …", "my answers": "will not start"}


def test_pairs_that_no_reward_model_scored_lead_to_those_that_one_has(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch, "reward_model.py", split="train")
    assert "those of validation are scored" in said(app)
    app.button(key="look_elsewhere").click().run()
    assert app.query_params["split"] == "validation"
    assert "look_elsewhere" not in [button.key for button in app.button]


@pytest.mark.parametrize("page", PAGES)
def test_page_shows_the_whole_experiment(page: str, filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch, page)
    assert not app.exception
    assert not app.error
    assert "Nothing here yet" not in said(app)


def test_first_visit_needs_no_picking_and_begins_with_the_answer(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch)
    assert app.title[0].value.startswith("The reward model ranks")
    assert all(name in app.query_params for name in ("dataset", "split", "trained", "base", "tuned_answers", "base_answers"))


def test_the_overview_counts_the_runs_of_its_dataset_alone(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for run_id, dataset in (("20260103-000000-other", "other"), ("20260103-000001-own", DATASET)):
        write_run(own_cache, run_id, RewardConfig(name=run_id, dataset=dataset), State.CANCELLED)
    assert ", 1 cancelled." in said(opened(own_cache, monkeypatch))


def test_a_run_that_finishes_changes_nothing_on_the_page_and_is_offered_once(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at the untrained scorer, the trained one was finished later: it is offered; kept away, it does not come back."""
    with database.reading(filled_cache) as con:
        shown = queries.default_selection(con)
    app = opened(filled_cache, monkeypatch, "reward_model.py", trained=str(shown.base_scorer))
    assert app.query_params["trained"] == shown.base_scorer
    app.button(key="offer_keep").click().run()
    assert not [b for b in app.button if b.key == "offer_keep"]
    app = opened(filled_cache, monkeypatch, "reward_model.py", trained=str(shown.base_scorer))
    app.button(key="offer_compare").click().run()
    assert "instead of untrained: accuracy +" in said(app)
    assert "on the same 30\u00a0pairs" in said(app)
    app.button(key="chip_beside").click().run()
    app.button(key="offer_use").click().run()
    assert app.query_params["trained"] == shown.trained_scorer


def test_an_unknown_id_in_the_url_is_said_and_the_default_shown(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch, dataset="no-such-set", prompt="nowhere")
    assert not app.exception
    assert any("no-such-set" in w.value for w in app.warning)
    assert "What stands out" in said(app)


def test_a_pick_is_kept_in_the_url(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch)
    app.selectbox(key="pick_split").select("train").run()
    assert app.query_params["split"] == "train"
    assert app.session_state["selection"].split == "train"


def test_another_dataset_stands_in_the_menu_of_its_chip(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tiny import toy_dataset  # here, because it imports torch

    other = toy_dataset(own_cache)
    app = opened(own_cache, monkeypatch, "data.py")
    app.radio(key="pick_dataset").set_value(other).run()
    assert app.query_params["dataset"] == other
    assert not app.session_state["chip_dataset"], "its menu is shut"
    assert "18 of 18\u00a0records are kept" in said(app)


def test_the_menu_of_datasets_leads_to_the_import_of_another_one(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch)
    app.button(key="chip_import").click().run()
    assert not app.exception
    assert app.get("file_uploader")


def test_another_split_is_not_asked_for_rows_of_the_one_before(
    filled_cache: Path, pairs: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its pair nor its prompt, nor its order, filters and search; and nothing is said of it."""
    rows = {
        "data.py": {"pair_search": "bread", "pair_order": "longest"},
        "reward_model.py": {"pair": pairs["pair_id"][3]},
        "prompts.py": {"prompt": pairs["prompt_id"][3], "type": "advice", "order": "length", "search": "bread"},
    }
    for page, asked in rows.items():
        app = opened(filled_cache, monkeypatch, page, **asked)
        app.selectbox(key="pick_split").select("train").run()
        assert not app.warning
        assert not set(asked) & set(app.query_params)
    app.selectbox(key="pick_split").select("validation").run()
    assert app.text_input(key="prompt_search").value == ""
    assert not app.warning


def test_an_address_of_the_dataset_before_asks_nothing_of_another_one(
    own_cache: Path, pairs: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A click while the page is drawn for another dataset brings the address of the one before, with the pair that was open there."""
    from tiny import toy_dataset  # here, because it imports torch

    other = toy_dataset(own_cache)
    app = opened(own_cache, monkeypatch, "reward_model.py", pair=pairs["pair_id"][3])
    before = {name: app.query_params[name] for name in ("dataset", "split", "pair")}
    app.radio(key="pick_dataset").set_value(other).run()
    app.query_params.update(before)
    app.run()
    assert app.query_params["dataset"] == other
    assert "pair" not in app.query_params
    assert not app.warning


def shown_prompts(app: AppTest) -> dict[str, Any]:
    """What the list of prompts and the details beside it are drawn from."""
    drawn: dict[str, Any] = json.loads(next(part.proto.json for part in app.get("bidi_component") if part.proto.json))
    return drawn


def test_prompts_without_tuned_answers_are_not_ordered_by_them(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a set that no policy has answered: neither by rewards nor by lengths of tuned answers."""
    from tiny import toy_dataset  # here, because it imports torch

    dataset = toy_dataset(empty_cache)
    app = opened(empty_cache, monkeypatch, "prompts.py", dataset=dataset)
    assert not app.exception
    assert "prompt_order" not in [box.key for box in app.selectbox]


def test_a_prompt_has_a_direct_link(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.reading(filled_cache) as con:
        row = queries.answered_prompts(con, queries.default_selection(con)).row(3, named=True)
    app = opened(filled_cache, monkeypatch, "prompts.py", prompt=row["prompt_id"])
    assert not app.exception
    drawn = shown_prompts(app)
    assert (drawn["list"]["prompt"], drawn["list"]["opened"]) == (row["prompt_id"], True)
    texts = ["".join(text for text, _changed in side["pieces"]) for side in drawn["details"][0]["sides"]["answers"]]
    assert texts == [row["base_answer"], row["tuned_answer"]]


def test_a_link_to_prompts_takes_back_what_was_asked_for_there_before(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch, "prompts.py", flag="base_cut")
    app.switch_page("views/dpo_vs_base.py").run()
    lost = next(link.proto for link in app.get("page_link") if link.proto.label == "Read the lost prompts")
    assert dict(parse_qsl(lost.query_string, keep_blank_values=True)) == {"flag": "", "preferred": "base"}
    app.query_params.update(flag="", preferred="base")
    app.switch_page("views/prompts.py").run()
    assert app.selectbox(key="prompt_flag").value is None
    assert "flag" not in app.query_params


def test_the_report_that_was_put_together_is_there_again_after_another_page(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Preset, an added and a removed part, style, formats and an edited caption, which also outlives that its part is taken out."""
    app = opened(filled_cache, monkeypatch, "report.py")
    app.segmented_control(key="report_preset").set_value("overview").run()
    app.checkbox(key="report_tick_dpo_rewards").check()
    app.checkbox(key="report_tick_margins").uncheck()
    app.checkbox(key="report_tick_preference_pair").check()
    app.segmented_control(key="report_look").set_value("serif")
    app.button_group(key="report_formats").set_value(["svg", "csv"])
    app.session_state["report_captions"] = True
    app.run()
    labels = {
        name: app.checkbox(key=f"report_tick_{name}").label.replace("\\", "") for name in ("far_from_guessing", "margins", "study_runs")
    }
    assert [label.partition(":")[0] for label in labels.values()] == [
        "Figure 1", "How clearly is the order right or wrong?", "Does a setting change more than the seed?"
    ]  # fmt: skip
    assert list(app.dataframe[0].value.columns)[:3] == ["Prompt", "Response", "Text"], "the first rows of Table 1"
    caption = next(box for box in app.text_area if box.label.startswith("Figure 1: How far"))
    caption.set_value("In my words.").run()
    app.checkbox(key="report_tick_far_from_guessing").uncheck().run()
    app.checkbox(key="report_tick_far_from_guessing").check().run()
    app.switch_page("views/overview.py").run().switch_page("views/report.py").run()
    assert not app.exception
    assert app.segmented_control(key="report_preset").value == "overview"
    assert (app.checkbox(key="report_tick_dpo_rewards").value, app.checkbox(key="report_tick_margins").value) == (True, False)
    assert app.segmented_control(key="report_look").value == "serif"
    assert app.button_group(key="report_formats").value == ["svg", "csv"]
    assert app.session_state["report_of"].captions == {"far_from_guessing": "In my words."}
    app.selectbox(key="pick_split").select("train").run()
    assert app.session_state["report_of"].captions == {}, "other data, other words"
    app.selectbox(key="pick_split").select("validation").run()
    assert app.session_state["report_of"].captions == {"far_from_guessing": "In my words."}


def test_prompts_without_answers_are_not_counted_as_answered(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All 30 prompts of the validation split have both answers, which need not be said; none of the training split's 6 has."""
    drawn = shown_prompts(opened(filled_cache, monkeypatch, "prompts.py"))
    assert (drawn["list"]["range"], drawn["details"][0]["place"]) == ("1 to 30 of 30", "1 of 30")
    drawn = shown_prompts(opened(filled_cache, monkeypatch, "prompts.py", split="train"))
    assert (drawn["list"]["range"], drawn["details"][0]["place"]) == (
        "1 to 6 of 6\u00a0· 0 with both answers",
        "1 of 6\u00a0· 0 with both answers",
    )


def test_an_unknown_prompt_is_said(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch, "prompts.py", prompt="nowhere")
    assert any("nowhere" in w.value for w in app.warning)
    assert not shown_prompts(app)["list"]["opened"]


def test_prompts_are_searched_in_the_database(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch, "prompts.py")
    app.text_input(key="prompt_search").set_value("zzz no prompt holds this").run()
    assert (shown_prompts(app)["list"]["total"], shown_prompts(app)["details"]) == (0, [])


def test_the_list_of_pairs_is_turned_from_page_to_page(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """30 pairs in pages of 15."""
    app = opened(filled_cache, monkeypatch, "data.py")
    assert "1 to 15 of 30" in said(app)
    next(button for button in app.button if button.label == "›").click().run()
    assert "16 to 30 of 30" in said(app)


def test_the_filters_of_prompts_are_in_the_url_and_taken_from_it(filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens the link sees the same; what the URL asks for and is not there, is not chosen."""
    app = opened(filled_cache, monkeypatch, "prompts.py")
    app.selectbox(key="prompt_order").select("difference_up").run()
    app.selectbox(key="prompt_type").select("advice").run()
    app.selectbox(key="prompt_flag").select("tuned_cut").run()
    app.text_input(key="prompt_search").set_value("e").run()
    link = {name: app.query_params[name] for name in ("order", "type", "flag", "search")}
    assert link == {"order": "difference_up", "type": "advice", "flag": "tuned_cut", "search": "e"}
    again = opened(filled_cache, monkeypatch, "prompts.py", **link)
    assert shown_prompts(again) == shown_prompts(app)
    assert {row["about"] for row in shown_prompts(again)["list"]["rows"]} == {"advice"}
    app = opened(filled_cache, monkeypatch, "prompts.py", preferred="base")
    assert app.selectbox(key="prompt_order").value == "difference_up", "the largest win of the base answer first"
    other = opened(filled_cache, monkeypatch, "prompts.py", order="sideways", type="no such", flag="none", preferred="both")
    assert not other.exception
    assert shown_prompts(other) == shown_prompts(opened(filled_cache, monkeypatch, "prompts.py"))


def test_a_database_of_another_version_is_a_sentence_on_the_page(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opening.connected(database.database_path(own_cache), 5) as con:
        con.execute("update about set value = 'old'")
    app = opened(own_cache, monkeypatch)
    assert not app.exception
    assert "another version" in app.error[0].value


def test_a_failed_run_shows_its_sentence_and_what_can_be_done(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_dirs(own_cache)[-1]
    run.update(state="failed", reason=None, error="loss is *nan* at step 7")
    app = opened(own_cache, monkeypatch, "runs.py", run=run.id)
    assert "loss is *nan* at step 7" in next(d.value for d in app.dataframe)["result"].to_list()
    assert any("loss is \\*nan\\* at step 7" in e.value for e in app.error)
    assert app.button(key=f"resume_{run.id}").label == "Resume"


def test_deleting_a_run_that_others_need_is_refused_with_their_names(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent, child = run_dirs(own_cache)[:2]
    write_json(child.path / "config.json", {**child.config_values, "parents": [parent.id]})
    app = opened(own_cache, monkeypatch, "runs.py", run=parent.id)
    app.button(key=f"delete_{parent.id}").click().run()
    assert not app.exception
    assert any(child.config_values["name"] in e.value.replace("\\", "") for e in app.error)
    assert parent.path.is_dir()


@pytest.mark.parametrize("kind", ["generate", "score", "ensemble", "embed"])
def test_every_other_kind_of_run_has_a_form(kind: str, filled_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(filled_cache, monkeypatch, "runs.py")
    app.selectbox(key="new_kind").select(kind).run()
    assert not app.exception
    assert any(str(t.key).endswith("Config_name") and t.value == kind for t in app.text_input)


def write_model(run: RunDir) -> None:
    """A model folder in which there is nothing to load."""
    write_json(run.path / "model" / "config.json", {})
    (run.path / "model" / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")


def test_a_run_that_would_fail_is_refused_and_checked_without_being_queued(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No base model lies in this cache: Start and Check both say so, and Check shows what is known."""
    before = run_dirs(own_cache)
    app = opened(own_cache, monkeypatch, "runs.py")
    next(b for b in app.button if b.label == "Start").click().run()
    assert not app.exception
    assert any("the embedded model is not in" in e.value for e in app.error)
    assert app.header[-1].value == "All runs"
    next(b for b in app.button if b.label == "Check").click().run(timeout=120)
    assert any("the embedded model is not in" in e.value for e in app.error)
    assert "answer 30 prompts" in [c.value for c in app.caption]
    assert run_dirs(own_cache) == before


def test_a_run_shows_the_memory_of_its_stages(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_dirs(own_cache)[-1]
    run.update(stage_peaks={"loading the model": 1_250_000_000, "training": 4_500_000_000})
    app = opened(own_cache, monkeypatch, "runs.py", run=run.id)
    assert any(e.label == "Memory: at most 4.5 GB" for e in app.expander)
    rows = [d.value.to_dict("list") for d in app.dataframe]
    assert {"While": ["loading the model", "training"], "Highest memory (GB)": [1.25, 4.5]} in rows


def test_a_run_started_from_the_form_is_queued_behind_the_runs_it_names(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = take_lock(own_cache / "locks" / "cpu.lock")
    app = opened(own_cache, monkeypatch, "runs.py")
    app.selectbox(key="new_kind").select("score").run()
    model = next(run for run in run_dirs(own_cache) if run.config_values["kind"] == "reward")
    write_model(model)
    app.multiselect(key="ScoreConfig_reward_models").select(model.id)
    next(b for b in app.button if b.label == "Start").click().run()
    queued = run_dirs(own_cache)[-1]
    assert queued.status.state == "queued"
    assert queued.config_values["parents"] == [model.id]
    assert device is not None
    os.close(device)
