"""Conversations become the right tokens, packed without padding; batches cover what they should."""

import math
from array import array
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import CHATML, SPECIAL, pairs, save_tiny, tiny_chat, tiny_tokenizer

from engine.data.records import Turn
from engine.errors import ModelError
from engine.model.batches import SHORTEST_PROMPT, Encoded, encode_pairs, in_parts, pair_tokens, scoring_batches, training_order
from engine.model.networks import RewardModel, load_reward_model, load_tokenizer
from engine.model.packing import pack

ASK = (Turn("user", "How do I begin with bread?"),)
LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=80)


# Conversations to tokens


def test_prompt_and_response_join_to_the_template_s_text() -> None:
    chat = tiny_chat()
    found = chat.encode(ASK, "Start small.")
    expected = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHow do I begin with bread?<|im_end|>\n<|im_start|>assistant\n"
    assert chat.tokenizer.decode(found.prompt) == expected
    assert chat.tokenizer.decode(found.response) == "Start small.<|im_end|>\n"
    assert chat.tokenizer.decode(found.response[: found.ends]) == "Start small.<|im_end|>"
    assert not found.truncated


def test_boundary_is_the_same_in_training_and_generation() -> None:
    chat = tiny_chat()
    for response in ("Start.", " a leading space", "\n\na leading line", "<|im_end|>", "你好"):
        assert chat.encode(ASK, response).prompt == chat.prompt(ASK)


def test_system_prompt_can_be_left_out() -> None:
    assert tiny_chat(system_prompt="").prompt_text(ASK).startswith("<|im_start|>user\n")


def test_long_prompt_loses_its_beginning() -> None:
    whole = tiny_chat().encode(ASK, "Start small.")
    cut = tiny_chat(max_tokens=len(whole) - 5).encode(ASK, "Start small.")
    assert cut.prompt == whole.prompt[5:]
    assert (cut.response, cut.ends, cut.truncated) == (whole.response, whole.ends, True)


def test_text_that_just_fits_is_not_cut() -> None:
    whole = tiny_chat().encode(ASK, "Start small.")
    assert tiny_chat(max_tokens=len(whole)).encode(ASK, "Start small.") == whole


def test_response_longer_than_the_context_keeps_its_end_of_turn() -> None:
    long = "Take your time. " * 50
    chat, whole = tiny_chat(max_tokens=64), tiny_chat(5000).encode(ASK, long)
    found = chat.encode(ASK, long)
    assert len(found) == 64
    assert found.truncated
    assert found.prompt == whole.prompt[-SHORTEST_PROMPT:]
    assert [*found.response] == [*whole.response[: 64 - SHORTEST_PROMPT - 2], *chat.encode(ASK, "x").response[-2:]]
    assert found.response[found.ends - 1] == chat.tokenizer.eos_token_id


def test_prompt_of_generation_is_cut_from_the_left() -> None:
    whole = tiny_chat().prompt(ASK)
    assert tiny_chat(max_tokens=40).prompt(ASK) == whole[-40:]


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}", "does not end a response with '<|im_end|>'"),
        (CHATML.replace("+ m['content']", "+ m['content'] + (messages | length | string)"), "changes the prompt once a response follows"),
        ("{{ raise_exception('System role not supported') }}", r"refused a conversation of .*: System role not supported"),
    ],
)
def test_template_that_cannot_be_used_is_refused(template: str, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence.replace("|", r"\|")):
        tiny_chat(template=template).encode(ASK, "Start small.")


def test_tokenizer_without_chat_template_is_refused(tmp_path: Path) -> None:
    tiny_tokenizer(template=None).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelError, match="has no chat template: expected a chat or instruct model"):
        load_tokenizer(tmp_path / "cache", str(tmp_path))


def test_padding_token_is_never_the_end_of_turn(tiny_llama: Path) -> None:
    assert tiny_tokenizer().pad_token == "<|im_end|>"
    assert load_tokenizer(tiny_llama.parent / "cache", str(tiny_llama)).pad_token == "<|endoftext|>"


def test_tokenizer_without_a_token_to_pad_with_is_refused(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "model", tokenizer=tiny_tokenizer(special=SPECIAL[1:]))
    with pytest.raises(ModelError, match="has no other special token: add one and save it"):
        load_tokenizer(tmp_path / "cache", str(folder))


# Packed rows


def test_what_prompts_share_stands_in_the_row_once() -> None:
    """Three prompts begin with the same system prompt, the prefix; alone, a pair's tokens are those pair_tokens counts."""
    chat = tiny_chat()
    encoded = encode_pairs(chat, pairs(3))
    prefix = next(i for i, tokens in enumerate(zip(*(chosen.prompt for chosen, _ in encoded), strict=False)) if len(set(tokens)) > 1)
    assert prefix > 0
    assert pack([side for pair in encoded for side in pair]).tokens == sum(map(pair_tokens, encoded)) - 2 * prefix
    assert [pack(pair).tokens for pair in encoded] == [pair_tokens(pair) for pair in encoded]


def test_a_prompt_with_which_another_begins_keeps_a_token_of_its_own() -> None:
    short, long = (Encoded(array("i", ids), array("i", [8, 9]), 2, False) for ids in ([1, 2, 3], [1, 2, 3, 4]))
    packed = pack([long, short])
    assert packed.input_ids[0].tolist() == [1, 2, 3, 4, 8, 9, 3, 8, 9]
    assert packed.position_ids[0].tolist() == [0, 1, 2, 3, 4, 5, 2, 3, 4]
    assert packed.before.tolist() == [3, 4, 6, 7]


def test_nothing_after_the_last_target_is_encoded_for_log_probabilities() -> None:
    sides = [side for pair in encode_pairs(tiny_chat(), pairs(3)) for side in pair]
    whole, short = pack(sides), pack(sides, "last_target")
    assert short.tokens == whole.tokens - sum(len(s.response) - s.ends + 1 for s in sides)
    assert torch.equal(short.targets, whole.targets)
    assert torch.equal(short.input_ids[0, short.before], whole.input_ids[0, whole.before])
    assert torch.equal(short.position_ids[0, short.before], whole.position_ids[0, whole.before])


def test_each_sequence_can_be_read_back_from_the_row() -> None:
    sides = [side for pair in encode_pairs(tiny_chat(), pairs(3)) for side in pair]
    packed = pack(sides)
    for n, side in enumerate(sides):
        row = packed.rows[n, : len(side)]
        assert packed.input_ids[0, row].tolist() == [*side.prompt, *side.response]
        assert packed.position_ids[0, row].tolist() == list(range(len(side)))
    assert torch.equal(packed.rows.flatten()[packed.index], torch.arange(packed.tokens))


def test_targets_are_the_response_to_its_end_of_turn() -> None:
    sides = [side for pair in encode_pairs(tiny_chat(), pairs(2)) for side in pair]
    packed = pack(sides)
    assert packed.lengths.tolist() == [s.ends for s in sides]
    assert packed.targets.tolist() == [token for s in sides for token in s.response[: s.ends]]
    firsts = [sum(s.ends for s in sides[:n]) for n in range(len(sides))]
    assert packed.input_ids[0, packed.before[firsts]].tolist() == [s.prompt[-1] for s in sides]


def test_reward_is_read_from_the_last_token_or_the_end_of_turn() -> None:
    chat = tiny_chat()
    sides = list(encode_pairs(chat, pairs(1))[0])
    newline = chat.tokenizer("\n")["input_ids"][0]
    assert pack(sides).input_ids[0, pack(sides).read_at].tolist() == [newline] * 2
    at_end = pack(sides, "end_of_turn")
    assert at_end.input_ids[0, at_end.read_at].tolist() == [chat.tokenizer.eos_token_id] * 2


def test_a_score_does_not_depend_on_its_neighbours(tiny_llama: Path) -> None:
    tokenizer = load_tokenizer(tiny_llama.parent / "cache", str(tiny_llama))
    net = RewardModel(load_reward_model(tiny_llama.parent / "cache", str(tiny_llama), tokenizer)).eval()
    sides = [side for pair in encode_pairs(tiny_chat(), pairs(6)) for side in pair]
    with torch.no_grad():
        together, alone = net(pack(sides)), torch.cat([net(pack([side])) for side in sides])
    assert torch.allclose(together, alone, atol=1e-5)


# Batches


@given(LENGTHS, st.integers(1, 9), st.integers(0, 5))
def test_each_pair_is_trained_on_at_most_once_an_epoch(tokens: list[int], batch_size: int, epoch: int) -> None:
    order = training_order(tokens, batch_size, seed=1, epoch=epoch)
    used = [i for batch in order for i in batch]
    assert len(set(used)) == len(used)
    assert all(len(batch) == batch_size for batch in order)
    assert len(order) == len(tokens) // batch_size


def test_each_epoch_has_its_own_order_and_a_seed_repeats_it() -> None:
    tokens = list(range(40))
    assert training_order(tokens, 4, 0, 0) == training_order(tokens, 4, 0, 0)
    assert training_order(tokens, 4, 0, 0) != training_order(tokens, 4, 0, 1)
    assert training_order(tokens, 4, 0, 0) != training_order(tokens, 4, 1, 0)


@pytest.mark.parametrize(("pairs_", "batch_size"), [(100, 8), (60, 16)])
def test_every_pair_is_left_out_about_equally_often_whatever_its_length(pairs_: int, batch_size: int) -> None:
    """Pair i has i + 1 tokens. An epoch leaves out r = n mod batch of n pairs: 4 of 100, 12 of 60.

    In 400 epochs a pair is left out 400 r/n times on average, with a standard deviation of √(400 r/n (1 − r/n)): 16 ± 3.9 and 80 ± 8.0.
    """
    tokens, epochs = range(1, pairs_ + 1), 400
    used = Counter(i for epoch in range(epochs) for batch in training_order(tokens, batch_size, 0, epoch) for i in batch)
    share = pairs_ % batch_size / pairs_
    spread = math.sqrt(epochs * share * (1 - share))
    assert all(abs(epochs - used[i] - epochs * share) < 4.5 * spread for i in range(pairs_))


@pytest.mark.parametrize(("pairs_", "batch_size"), [(64, 16), (60, 16), (32, 16), (96, 8)])
def test_batches_are_composed_anew_every_epoch_also_when_none_is_left_out(pairs_: int, batch_size: int) -> None:
    compositions = {
        frozenset(frozenset(batch) for batch in training_order(range(1, pairs_ + 1), batch_size, 0, epoch)) for epoch in range(20)
    }
    assert len(compositions) == 20


def test_batches_hold_pairs_of_like_length() -> None:
    tokens = [(i * 37) % 400 + 1 for i in range(256)]
    spread = [max(tokens[i] for i in b) - min(tokens[i] for i in b) for b in training_order(tokens, 8, 0, 0)]
    assert sum(spread) / len(spread) < 400 / 8


@given(LENGTHS, st.integers(1, 500))
def test_parts_cover_the_batch_and_keep_within_the_limit(tokens: list[int], most: int) -> None:
    parts = in_parts(range(len(tokens)), tokens, most)
    assert sorted(i for part in parts for i in part) == list(range(len(tokens)))
    assert all(len(part) == 1 or sum(tokens[i] for i in part) <= most for part in parts)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=40), st.integers(10, 120))
def test_scoring_batches_cover_all_once_within_the_limit(shapes: list[tuple[int, int, int]], most: int) -> None:
    sequences = [Encoded(array("i", [p] * n), array("i", [9] * m), m, False) for p, n, m in shapes]
    batches = scoring_batches(sequences, most)
    assert sorted(i for b in batches for i in b) == list(range(len(sequences)))
    assert all(len(b) == 1 or pack([sequences[i] for i in b]).tokens <= most for b in batches)
