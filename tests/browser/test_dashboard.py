"""The dashboard in a real browser: one small experiment from the empty cache to the downloaded report, told in the order of the tests."""

import json
import os
import re
import shlex
import signal
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Dialog, Page, Request, expect

from dashboard import figures
from docs.screenshots import PAGES, Served, address, opened, served, settle, shown
from engine.data.records import Turn, prompt_row
from engine.data.sources import STARTER
from engine.model.folders import SENTENCE_MODEL
from engine.queue import jobs
from engine.queue.run import execute
from engine.settings.config import EMBEDDED_MODEL
from engine.store.progress import Progress
from engine.store.rundir import RunDir, run_dirs, take_lock, wait_for_lock

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
SECONDS = 240  # the longest a single run may take here
ORIGINAL = ("1", "3a", "4a", "4b", "5a", "5b", "6", "7", "8a", "8b", "9a", "9b", "10a", "10b")
NASTY_QUESTION = "Is <img src=x onerror=alert(1)> [safe](javascript:alert(2)) for $x$?"
NASTY_RESPONSE = "Yes: <img src=x onerror=alert(3)> [link](javascript:alert(4)) $y^2$ **bold** <script>alert(5)</script>"
POINTS = """() => {
    const first = [...document.querySelectorAll('.js-plotly-plot')].find(plot => plot.textContent.includes('learning rate'))
    return first ? first._fullData[0].x.length : 0
}"""


@pytest.fixture(scope="module")
def cache(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty cache, in which a two-layer model has the embedded one's place: what it learns is tests/test_embedded_model.py's matter."""
    if not (ROOT / "cache" / "models" / SENTENCE_MODEL / "config.json").is_file():
        pytest.fail("the embedded sentence model is not there: run ./run.sh setup")
    folder = tmp_path_factory.mktemp("browser") / "cache"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / EMBEDDED_MODEL).symlink_to(tiny_llama)
    (folder / "models" / SENTENCE_MODEL).symlink_to(ROOT / "cache" / "models" / SENTENCE_MODEL)
    return folder


@pytest.fixture(scope="module")
def first_dashboard(cache: Path) -> Iterator[Served]:
    """The one that is killed while a run goes on."""
    with served(cache, cache / "first.log") as running:
        yield running


@pytest.fixture(scope="module")
def sources(cache: Path) -> dict[str, str]:
    """The first starter pairs, and one pair that tries to be more than text."""
    nasty = {"question": NASTY_QUESTION, "response_1": NASTY_RESPONSE, "response_2": "No.", "overall_response": 1, "prompt_type": "nasty"}
    for split, pairs in (("train", 24), ("validation", 8)):
        lines = (STARTER / f"{split}.jsonl").read_text().splitlines()[:pairs]
        own = [json.dumps(nasty)] if split == "validation" else []
        (cache / f"{split}.jsonl").write_text("\n".join([*own, *lines]) + "\n")
    return {split: str(cache / f"{split}.jsonl") for split in ("train", "validation")}


@dataclass
class Seen:
    """What the pages said of a run while it trained."""

    run: RunDir
    progress: set[str] = field(default_factory=set)
    points: set[str] = field(default_factory=set)

    def look(self, runs: Page, curves: Page) -> None:
        self.progress |= set(runs.get_by_test_id("stProgress").all_inner_texts())
        self.points.add(str(curves.evaluate(POINTS)))
        runs.wait_for_timeout(300)


@pytest.fixture(scope="module")
def training(cache: Path, first_dashboard: Served, browser: Browser, sources: dict[str, str]) -> Seen:
    """A reward model in training since Start was pressed, whose dashboard was killed once its pages had followed it a little."""
    jobs.engine_call(["import", "--name=tiny", *(f"{split}={source}" for split, source in sources.items())], cache)
    runs = opened(browser, f"{first_dashboard.url}/runs")
    curves = opened(browser, f"{first_dashboard.url}/training")
    start_training(runs, "First model")
    seen = Seen(newest(cache))
    while min(len(seen.progress), len(seen.points)) < 2 and not seen.run.status.finished_at:
        seen.look(runs, curves)
    first_dashboard.process.send_signal(signal.SIGKILL)
    assert first_dashboard.process.wait() == -signal.SIGKILL
    assert seen.run.status.state == "running"
    for page in (runs, curves):
        page.context.close()
    return seen


@pytest.fixture(scope="module")
def dashboard(cache: Path, training: Seen) -> Iterator[Served]:
    """Another, started while the run goes on."""
    with served(cache, cache / "dashboard.log") as running:
        yield running


@pytest.fixture(scope="module")
def trained(cache: Path, dashboard: Served, browser: Browser, training: Seen) -> Seen:
    """The reward model, when its training has ended on the pages of the other dashboard."""
    runs = opened(browser, f"{dashboard.url}/runs")
    curves = opened(browser, f"{dashboard.url}/training")
    while not training.run.status.finished_at:
        training.look(runs, curves)
    jobs.wait_for_end(training.run, SECONDS)
    expect(runs.get_by_test_id("stProgress")).to_have_count(0)
    training.look(runs, curves)
    for page in (runs, curves):
        page.context.close()
    return training


@pytest.fixture(scope="module")
def experiment(cache: Path, trained: Seen, sources: dict[str, str]) -> list[RunDir]:
    """The other runs of an experiment, queued on the command line and done in this process, which has loaded torch already."""
    answers = {"kind": "generate", "max_new_tokens": 24, "batch_size": 9}
    generations = ["@Base answers", "@DPO answers"]
    runs = {
        "DPO": {"kind": "policy", "pairs": 4, "batch_size": 2, "learning_rate": 1e-5},
        "Base answers": answers,
        "DPO answers": {**answers, "policy": "@DPO"},
        "Scores": {"kind": "score", "reward_models": [trained.run.id], "generations": generations, "splits": ["validation"]},
        "Maps": {"kind": "embed", "generations": generations, "methods": ["pca", "umap"]},
    }
    preset = {"name": "tiny", "title": "Tiny", "data": {"name": "tiny", "source": sources}, "common": {"max_tokens": 128}, "runs": runs}
    (cache / "tiny.json").write_text(json.dumps(preset))
    device = wait_for_lock(cache / "locks" / "cpu.lock", SECONDS)
    jobs.engine_call(["experiment", str(cache / "tiny.json")], cache)
    threads = torch.get_num_threads()
    for run in run_dirs(cache)[1:]:
        assert execute(Progress(cache, run)) == "done", run.status.error
    assert torch.get_num_threads() == threads, "numba, under UMAP, shares the OpenMP of torch and asks it for every core"
    os.close(device)
    return run_dirs(cache)


def newest(cache: Path) -> RunDir:
    return run_dirs(cache)[-1]


def start_training(page: Page, name: str) -> None:
    """Fill the dialog with 816 steps of few tokens, too few in all to compile the layers, and press its button."""
    page.get_by_role("button", name=re.compile("^(Train|Retrain) …")).click()  # Train, while nothing was
    dialog = page.get_by_role("dialog")
    for label, value in (("Epochs", "34"), ("Maximum tokens", "24"), ("Batch size", "1")):
        field = dialog.get_by_role("spinbutton", name=label)
        field.fill(value)
        field.press("Enter")
    box = dialog.get_by_role("textbox", name="Name", exact=True)
    box.fill(name)
    box.press("Enter")
    expect(dialog.get_by_text(f"--name {shlex.quote(name)}")).to_be_visible()
    dialog.get_by_role("button", name=re.compile("^(Train|Retrain)")).click()
    expect(page.get_by_text(f"{name} is queued")).to_be_visible()


def watched(page: Page) -> list[str]:
    """What must not happen on a page, gathered while it is used: dialogs, script errors, requests to other computers."""
    faults: list[str] = []
    here = re.compile(r"(https?|wss?)://127\.0\.0\.1[:/]|data:|blob:|about:")

    def asked(dialog: Dialog) -> None:
        faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def requested(request: Request) -> None:
        if not here.match(request.url):
            faults.append(f"request: {request.url}")

    page.on("dialog", asked)
    page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
    page.on("request", requested)
    return faults


def visit(page: Page, dashboard: Served, name: str) -> str:
    """Open a page and return its text; no exception, no broken value, nothing wider than the window."""
    text = shown(page, f"{dashboard.url}/{name}").get_by_test_id("stMain").inner_text()
    assert page.get_by_test_id("stException").count() == 0, text
    assert page.get_by_test_id("stAlertContentError").count() == 0, text
    assert not re.search(r"\b(undefined|nan|NaN|null)\b", text)
    return text


def titles(page: Page) -> set[str]:
    """The titles of the figures that are drawn, without blanks, since a title may be broken over two lines."""
    found = page.locator("[data-testid=stHtml] h2, [data-testid=stHtml] h3").all()
    return {re.sub(r"^Figure\d+[a-d]?|\s", "", re.sub(r"\s", "", title.text_content() or "")) for title in found}


def wider_than_window(page: Page) -> int:
    """By how many pixels the page could be scrolled sideways."""
    return int(page.evaluate("Math.max(...[document.documentElement, document.querySelector('[data-testid=stMain]')]"
                             ".map(e => e.scrollWidth - e.clientWidth))"))  # fmt: skip


def test_every_page_of_an_empty_cache_says_how_to_begin(first_dashboard: Served, window: Page) -> None:
    page = shown(window, first_dashboard.url)
    faults = watched(page)
    for name in PAGES:
        assert "Try the demo" in visit(page, first_dashboard, address(name)), name
    assert faults == []


def test_a_run_started_from_the_form_shows_its_progress_and_its_curve_while_it_trains(trained: Seen) -> None:
    assert len(trained.progress) >= 2
    assert any("of 816 steps" in text for text in trained.progress)
    assert len(trained.points) >= 3


def test_a_run_goes_on_when_the_dashboard_is_killed(trained: Seen) -> None:
    assert trained.run.status.state == "done"
    assert trained.run.config_values["name"] == "First model"


@pytest.mark.usefixtures("experiment")
def test_every_page_shows_the_experiment_on_a_wide_and_on_a_narrow_screen(dashboard: Served, window: Page) -> None:
    page = shown(window, dashboard.url)
    faults, drawn = watched(page), set()
    for name in PAGES:
        assert "Nothing here yet" not in visit(page, dashboard, address(name))
        drawn |= titles(page)
        assert wider_than_window(page) <= 0, name
        page.set_viewport_size({"width": 390, "height": 844})
        settle(page)
        assert wider_than_window(page) <= 0, f"{name}, narrow"
        page.set_viewport_size({"width": 1440, "height": 900})
    assert {re.sub(r"\s", "", f.title) for f in figures.FIGURES if f.number not in ("", "2")} <= drawn  # Figure 2 compares two runs
    assert faults == []


@pytest.mark.usefixtures("experiment")
def test_untrusted_text_is_shown_as_it_is_written(dashboard: Served, window: Page) -> None:
    prompt_id = prompt_row((Turn("user", NASTY_QUESTION),))["prompt_id"]
    page = shown(window, dashboard.url)
    faults = watched(page)
    visit(page, dashboard, f"prompts?prompt={prompt_id}")
    expect(page.locator("article").get_by_role("heading", name=NASTY_QUESTION)).to_be_visible()
    page.locator("article summary").click()
    expect(page.locator("article .read").filter(has_text=NASTY_RESPONSE)).to_be_visible()
    visit(page, dashboard, "data")
    page.get_by_test_id("stDataFrame").first.click(position={"x": 14, "y": 50})  # the box of the first row, the nasty pair
    expect(page.get_by_text(NASTY_RESPONSE, exact=True).last).to_be_visible()
    assert page.locator("img[src=x], a[href^=javascript], .katex").count() == 0
    assert faults == []


@pytest.mark.usefixtures("experiment")
def test_the_report_is_downloaded_with_every_figure_and_table(dashboard: Served, window: Page, tmp_path: Path) -> None:
    page = shown(window, f"{dashboard.url}/report")
    page.get_by_role("button", name="Make the report").click()
    with page.expect_download(timeout=240_000) as download:
        page.get_by_role("button", name=re.compile("^Download")).click(timeout=240_000)
    download.value.save_as(tmp_path / "report.zip")
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        sizes = {Path(entry.filename).name: entry.file_size for entry in archive.infolist() if not entry.is_dir()}
    assert {"report.pdf", "report.html", "report.tex", "references.bib", "redraw.py"} <= sizes.keys()
    assert len([name for name in sizes if name.endswith(".svg")]) >= len([f for f in figures.FIGURES if f.number in ORIGINAL])
    assert min(sizes.values()) > 0


@pytest.mark.usefixtures("experiment")
def test_retraining_from_the_page_of_the_reward_model_queues_a_comparable_one(cache: Path, dashboard: Served, window: Page) -> None:
    """The command follows the settings; the new model and the scores of the same answers stand on the page Runs. The device is taken."""
    device, before = take_lock(cache / "locks" / "cpu.lock"), run_dirs(cache)
    page = shown(window, f"{dashboard.url}/reward_model")
    page.keyboard.press("t")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("--name 'First model 2'")).to_be_visible()
    epochs = dialog.get_by_role("spinbutton", name="Epochs")
    epochs.fill("3")
    epochs.press("Enter")
    expect(dialog.get_by_text("--epochs 3")).to_be_visible()
    dialog.get_by_role("button", name=re.compile("^Retrain")).click()
    expect(page.get_by_text("First model 2 is queued: 2\u00a0runs")).to_be_visible()
    visit(page, dashboard, "runs")
    new = [run for run in run_dirs(cache) if run not in before]
    assert [(run.outline.kind, run.outline.name) for run in new] == [("reward", "First model 2"), ("score", "Scores of First model 2")]
    for run in reversed(new):
        jobs.cancel(cache, run.id)
    assert device is not None
    os.close(device)
