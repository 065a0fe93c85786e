"""The playground's process: its numbers are those of the runs, and it keeps to its place."""

import http.client
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from tiny import policy_config, table

from engine.data.datasets_io import load_pairs
from engine.data.records import PreferencePair, Turn, text_id
from engine.errors import ConfigError, ModelError, ServeError, TooLargeError
from engine.kinds.generate import answers, transformers_writer
from engine.machine import memory
from engine.model import networks
from engine.model.batches import Chat
from engine.model.folders import network_of
from engine.planning.held import held_by_server
from engine.serve import client, needs
from engine.serve.models import Models
from engine.serve.replies import REPLIES, pieces
from engine.serve.requests import Answer, Judge, Score, Tokens, Writer, read
from engine.serve.server import Work, watch_starter
from engine.settings.config import GenerateConfig, RunConfig
from engine.store.progress import Progress
from engine.store.rundir import RunDir, is_locked, run_dirs, take_lock
from engine.store.server import Server, announce, lock_of_server, run_going_on, server_of
from engine.store.status import State, Status

ASKED = (Turn("user", "How do I begin with bread?"),)


def named(cache: Path, name: str) -> RunDir:
    return next(run for run in run_dirs(cache) if run.outline.name == name)


def validation(cache: Path, run: RunDir) -> list[PreferencePair]:
    return load_pairs(cache, run.config.dataset, "validation")


def writer_of(config: RunConfig) -> Writer:
    assert isinstance(config, GenerateConfig)
    return Writer(**config.model_dump(include={"policy", "system_prompt", "max_tokens", "precision"}))


def replies(models: Models, asked: Any) -> list[dict[str, Any]]:
    return list(REPLIES[asked.what](models, asked))


def last_lines(lines: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {line["side"]: line for line in lines if "finish_reason" in line}


@pytest.fixture(scope="module")
def models(toy_cache: Path) -> Models:
    return Models(toy_cache)


def test_greedy_answers_are_those_of_the_generation_runs(models: Models) -> None:
    """Both sides at once, under the runs' settings: 8 new tokens of fp32, greedy."""
    runs = {side: named(models.cache, f"{side} answers") for side in ("base", "tuned")}
    writers = {side: writer_of(run.config) for side, run in runs.items()}
    texts = {side: dict(table(run, "texts").select("text_id", "text").iter_rows()) for side, run in runs.items()}
    for pair in validation(models.cache, runs["base"]):
        found = last_lines(replies(models, Answer(turns=pair.turns, writers=writers, max_new_tokens=8)))
        for side, run in runs.items():
            (row,) = table(run, "generations").filter(pl.col("prompt_id") == pair.prompt_id).to_dicts()
            assert found[side]["text"] == texts[side][row["text_id"]]
            assert (found[side]["tokens"], found[side]["finish_reason"]) == (row["tokens"], row["finish_reason"])


def test_a_sampled_answer_is_that_of_a_generation_run_with_its_seed(models: Models) -> None:
    """Although another is sampled token by token between its own."""
    writers = {side: writer_of(named(models.cache, f"{side} answers").config) for side in ("base", "tuned")}
    asked = Answer(turns=ASKED, writers=writers, max_new_tokens=12, temperature=1.0, top_p=0.9, seed=5)
    found = last_lines(replies(models, asked))
    for side in writers:
        config = asked.config(side)
        tokenizer = networks.load_tokenizer(models.cache, config.policy)
        progress = Progress(models.cache, named(models.cache, f"{side} answers"))
        writer = transformers_writer(progress, config, tokenizer, "fp32", "cpu")
        prompt = Chat(tokenizer, config.system_prompt, config.max_tokens).prompt(ASKED)
        ((text, tokens, reason, _),) = answers(writer, tokenizer, [prompt], 0)
        assert (found[side]["text"], found[side]["tokens"], found[side]["finish_reason"]) == (text, tokens, reason)


def test_an_answer_grows_by_a_token_at_a_time_on_both_sides_by_turns(models: Models) -> None:
    writer = writer_of(named(models.cache, "base answers").config)
    lines = replies(models, Answer(turns=ASKED, writers={"base": writer, "tuned": writer}, max_new_tokens=3))
    assert [line["side"] for line in lines] == ["base", "tuned"] * 5  # loading, three tokens, the end
    assert [line.get("tokens") for line in lines if line["side"] == "base"] == [None, 1, 2, 3, 3]


def test_rewards_are_those_of_the_score_run(models: Models) -> None:
    """Of the chosen and the rejected response to every validation pair, trained and untrained; fp32."""
    reward = named(models.cache, "toy")
    known = {(row["scorer_id"], row["prompt_id"], row["text_id"]): row["reward"] for row in table(reward, "rewards").to_dicts()}
    judges = (Judge(run=reward.id), Judge(run=reward.id, trained=False))
    for pair in validation(models.cache, reward):
        for line in replies(models, Score(turns=pair.turns, responses=(pair.chosen, pair.rejected), judges=judges)):
            for response, found in zip((pair.chosen, pair.rejected), line["rewards"], strict=True):
                assert found == pytest.approx(known[line["scorer_id"], pair.prompt_id, text_id(response)], abs=1e-5)


def test_token_log_ratios_sum_to_the_implicit_reward(models: Models) -> None:
    """r = β Σ_t (log π(y_t) − log π_ref(y_t)), as the policy's run wrote it for its validation pairs."""
    policy = named(models.cache, "tuned policy")
    (beta,) = table(policy, "scorers")["beta"]
    known = dict(table(policy, "rewards").select("text_id", "reward").iter_rows())
    for pair in validation(models.cache, policy):
        (line,) = replies(models, Tokens(turns=pair.turns, response=pair.chosen, policy=policy.id))
        found = line["policy"]
        total = sum(token["logp"] - token["reference_logp"] for token in found["tokens"])
        assert found["beta"] * total == pytest.approx(known[text_id(pair.chosen)], abs=1e-4)
        assert found["beta"] == beta
        assert "".join(token["text"] for token in found["tokens"]) == pair.chosen + "<|im_end|>"


def test_the_last_of_the_rewards_along_a_response_is_its_reward(models: Models) -> None:
    """And the reward after a token is that of a response which ends there: the head sees nothing that comes later."""
    judge = Judge(run=named(models.cache, "toy").id)
    response = "Start small with bread."
    (line,) = replies(models, Tokens(turns=ASKED, response=response, judge=judge))
    (whole,) = replies(models, Score(turns=ASKED, responses=(response,), judges=(judge,)))
    (longer,) = replies(models, Tokens(turns=ASKED, response=response + " Wait.", judge=judge))
    after = [token["reward"] for token in line["reward"]["tokens"]]
    assert after[-1] == pytest.approx(whole["rewards"][0], abs=1e-5)
    assert after[0] != pytest.approx(line["reward"]["before"], abs=1e-3)
    same = len(after) - 3  # the last token may merge with what follows, then come end of turn and line feed
    assert [token["reward"] for token in longer["reward"]["tokens"]][:same] == pytest.approx(after[:same], abs=1e-5)
    assert longer["reward"]["before"] == pytest.approx(line["reward"]["before"], abs=1e-5)


def test_the_first_token_that_differs_from_the_other_response_is_told(models: Models) -> None:
    policy, judge = named(models.cache, "tuned policy").id, Judge(run=named(models.cache, "toy").id)

    def looked_at(response: str, other: str | None) -> tuple[list[str], set[int | None]]:
        lines = replies(models, Tokens(turns=ASKED, response=response, other=other, policy=policy, judge=judge))
        policy_line, reward_line = lines[0]["policy"], lines[1]["reward"]
        return [token["text"] for token in policy_line["tokens"]], {policy_line["parts_at"], reward_line["parts_at"]}

    chosen, (at,) = looked_at("Take tea. Zebra", "Take tea. Quiet")
    rejected, (also,) = looked_at("Take tea. Quiet", "Take tea. Zebra")
    assert at is not None
    assert at == also
    assert chosen[:at] == rejected[:at]
    assert chosen[at] != rejected[at]
    assert looked_at("Take tea.", "Take tea.")[1] == {None}
    assert looked_at("Take tea.", None)[1] == {None}


def test_pieces_of_tokens_make_the_text_although_characters_are_torn(models: Models) -> None:
    """The tiny tokenizer has bytes only for these characters: 3 of an ideograph, 4 of an emoji; the last of each has it."""
    tokenizer = networks.load_tokenizer(models.cache, named(models.cache, "toy").id)
    text = "a 面🍞 b"
    found = pieces(tokenizer, tokenizer(text, add_special_tokens=False)["input_ids"])
    assert "".join(found) == text
    assert found.count("") == 2 + 3


def test_what_was_used_longest_ago_makes_room(toy_cache: Path) -> None:
    reward = named(toy_cache, "toy")
    trained, untrained = Judge(run=reward.id), Judge(run=reward.id, trained=False)
    one = needs.judging_size(toy_cache, trained).most

    class Small(Models):
        """Of a machine that has room for one."""

        def free(self) -> int:
            return one - len(self.held) * one

    models = Small(toy_cache)
    first = models.judge(trained)
    assert models.judge(trained) is first
    models.judge(untrained)
    assert [key[1:] for key in models.held] == [(str(reward.config.model), 0)]  # type: ignore[union-attr]
    assert models.judge(trained) is not first


def test_a_model_that_never_fits_is_refused_with_what_it_takes(toy_cache: Path) -> None:
    """The limit is below what the process has already."""
    with pytest.raises(TooLargeError, match=r"takes about \d+\.\d GB of memory, 0\.0 GB are free"):
        Models(toy_cache, limit=1).judge(Judge(run=named(toy_cache, "toy").id))


def test_what_a_request_needs_is_said_before(toy_cache: Path) -> None:
    """Another judge adds its weights, 4 bytes each, because only one works at a time; a judge that two requests name is one."""
    trained, untrained = Judge(run=named(toy_cache, "toy").id), Judge(run=named(toy_cache, "toy").id, trained=False)
    one, two = (Score(turns=ASKED, responses=("a",), judges=judges) for judges in ((trained,), (trained, untrained)))
    folder = named(toy_cache, "toy").config.model  # type: ignore[union-attr]
    network = network_of(Path(folder))
    assert network
    assert needs.needed(toy_cache, two) - needs.needed(toy_cache, one) == pytest.approx(4 * network.parameters, abs=1000)
    assert needs.needed(toy_cache, one, two) == needs.needed(toy_cache, two)
    with pytest.raises(ModelError, match="downloads nothing"):
        needs.needed(toy_cache, Answer(turns=ASKED, writers={"base": Writer(policy="somebody/elses")}))


def test_a_run_may_count_on_the_memory_that_the_playground_gives_back(empty_cache: Path) -> None:
    """This process stands for the playground's: it holds the lock."""
    assert held_by_server(empty_cache) == 0
    lock = take_lock(lock_of_server(empty_cache))
    assert lock is not None
    announce(lock, Server(os.getpid(), 1, "token"))
    assert held_by_server(empty_cache) >= 0.5 * memory.resident()
    os.close(lock)
    assert held_by_server(empty_cache) == 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"turns": []}, "turns"),
        ({"turns": [{"role": "assistant", "content": "Hello"}]}, "expected user, or user, assistant"),
        ({"turns": [{"role": "user", "content": "  "}]}, "the prompt is empty"),
        ({"responses": []}, "responses"),
        ({"command": "rm"}, "command"),
        ({"what": "train"}, "what"),
    ],
)
def test_a_wrong_request_is_refused_by_name(changes: dict[str, Any], sentence: str) -> None:
    good = Score(turns=ASKED, responses=("a",), judges=(Judge(run="r"),)).model_dump(mode="json")
    assert read(good)
    with pytest.raises(ConfigError, match=sentence):
        read({**good, **changes})


# The process


@pytest.fixture(scope="module")
def served(toy_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of its own that is served, with one answer asked."""
    cache = tmp_path_factory.mktemp("served") / "cache"
    shutil.copytree(toy_cache, cache)
    list(client.ask(cache, short_answer(cache)))
    yield cache
    client.forget(cache)


def short_answer(cache: Path, tokens: int = 4) -> Answer:
    return Answer(turns=ASKED, writers={"base": writer_of(named(cache, "base answers").config)}, max_new_tokens=tokens, temperature=1.0)


@pytest.mark.slow
def test_the_process_answers_as_its_replies_do_and_stays(served: Path, models: Models) -> None:
    before = server_of(served)
    asked = short_answer(served).model_copy(update={"turns": (Turn("user", "怎样学会做面包？ 🍞"),)})
    assert list(client.ask(served, asked)) == replies(models, asked)
    assert server_of(served) == before


@pytest.mark.slow
def test_who_does_not_know_the_token_and_any_web_page_are_refused(served: Path) -> None:
    """A browser sends Origin with another site's POST, and another Host when a name was bound to this address."""
    server = server_of(served)
    assert server
    assert lock_of_server(served).stat().st_mode & 0o777 == 0o600
    own = {"Authorization": f"Bearer {server.token}"}
    for headers in ({}, {"Authorization": "Bearer x"}, {**own, "Origin": "http://evil.test"}, {**own, "Host": f"evil.test:{server.port}"}):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("POST", "/", short_answer(served).model_dump_json(), headers)
        assert connection.getresponse().status == 403
        connection.close()


@pytest.mark.slow
def test_an_answer_nobody_reads_on_is_not_written_on(served: Path) -> None:
    """Without that, the second answer would wait for up to 2,048 tokens by turns with the first."""
    endless = client.ask(served, short_answer(served, 2048))
    for _ in range(3):
        next(endless)
    endless.close()  # type: ignore[attr-defined]
    server = server_of(served)
    deadline = time.monotonic() + 20
    while established(server.port) and time.monotonic() < deadline:  # type: ignore[union-attr]
        time.sleep(0.05)
    assert not established(server.port)  # type: ignore[union-attr]


def established(port: int) -> int:
    """Connections to a port of this machine that are open or half closed."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]]
    return sum(1 for row in rows if row[1].endswith(f":{port:04X}") and row[3] in ("01", "08"))


@pytest.mark.slow
def test_a_run_that_begins_ends_it_and_is_said(served: Path) -> None:
    """The process has gone within seconds, its memory with it; while the run goes on nothing is started.

    Greedy, the tiny model repeats one token to the limit of 2,048; sampled, it meets its end-of-turn token within 200, which is too soon.
    """
    endless = client.ask(served, short_answer(served, 2048).model_copy(update={"temperature": 0.0}))
    next(endless)
    run = RunDir(served / "runs" / "20300101-000000-000000-late-0000")
    run.write_config(policy_config(validation_dataset(served), "none", name="late"))
    lock = take_lock(run.path / "lock")
    run.write_status(Status(state=State.RUNNING, pid=os.getpid()))
    assert lock is not None
    with pytest.raises(ServeError, match="run 'late' has begun"):
        list(endless)
    deadline = time.monotonic() + 20
    while is_locked(lock_of_server(served)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert server_of(served) is None
    with pytest.raises(ServeError, match="run 'late' is going on"):
        next(client.ask(served, short_answer(served)))
    os.close(lock)
    assert run_going_on(served) is None


def validation_dataset(cache: Path) -> str:
    return named(cache, "toy").config.dataset


def test_it_ends_when_nobody_asks_when_its_cache_is_gone_and_when_who_started_it_ends(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work(Models(empty_cache), idle_seconds=0.0)
    lock_of_server(empty_cache).parent.mkdir(parents=True)
    lock_of_server(empty_cache).touch()
    time.sleep(0.01)
    assert work.reason_to_end() == "nobody has asked for a while"
    with work.counted():
        assert not work.reason_to_end()
        lock_of_server(empty_cache).unlink()
        assert work.reason_to_end().endswith("is gone")
        there, starter = os.pipe()
        with os.fdopen(there) as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            watch_starter(work)
            os.close(starter)
            assert work.abandoned.wait(10)
    assert work.reason_to_end() == "the dashboard that started the playground has ended"


def test_the_generator_of_chance_draws_what_torch_draws_with_the_same_seed() -> None:
    """What makes a sampled answer equal to a run's: one generator for each answer instead of torch's own."""
    weights = torch.arange(1.0, 60.0)
    torch.manual_seed(11)
    expected = [int(torch.multinomial(weights, 1)) for _ in range(20)]
    own = torch.Generator().manual_seed(11)
    assert [int(torch.multinomial(weights, 1, generator=own)) for _ in range(20)] == expected
