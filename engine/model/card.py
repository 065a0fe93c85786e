"""The README.md of a reward model's folder: what whoever loads the model elsewhere must know to get the rewards that Prefscope reports."""

import json
from pathlib import Path
from typing import Any

from engine.data.records import Turn
from engine.model.batches import Chat
from engine.settings.config import RewardConfig
from engine.store.rundir import RunDir

QUESTION, ANSWER = "How do I begin with bread?", "Start with flour, water, salt and yeast."
CARD = """\
# A reward model

A transformers sequence classifier with one label, trained by Prefscope: the higher its number, the better the last response. Run here:

```python
from transformers import pipeline

messages = {messages}
rate = pipeline("text-classification", model=".")
text = rate.tokenizer.apply_chat_template(messages, tokenize=False){cut}
reward = rate(text, add_special_tokens=False)[0]["score"]
```

{facts}

What it was trained with:

```json
{values}
```
"""
SCALE = (
    "**Scale.** A reward has no unit and no zero. Only differences between responses to the same prompt mean something: the model holds "
    "the first of two to be preferred with probability σ(r₁ − r₂) (Bradley and Terry 1952)."
)
LENGTH = (
    "**Length.** The rewards on Prefscope's pages are changed afterwards by `length`, below: r / (divide + tokens) where `divide` is a "
    "number, then − penalty · |tokens − target|, tokens being those of the response with its end of turn. The folder's own are not."
)


def reward_card(run: RunDir, config: RewardConfig, tokenizer: Any) -> str:
    """The text of README.md, from the run's configuration, the pairs it took and its last metrics.

    Names and prompts are anybody's text: they stand in two code blocks only, as literals of one line, which cannot end the block.
    """
    tail, end = template_tail(tokenizer, config), tokenizer.eos_token
    cut = f"\ntext = text[: text.rindex({end!r}) + {len(end)}]" if config.read_at == "end_of_turn" else ""
    return CARD.format(
        messages=example(config),
        cut=cut,
        facts="\n".join(f"- {sentence}" for sentence in facts(config)),
        values=harmless(json.dumps(values(run, config, tokenizer, tail), ensure_ascii=False, indent=1)),
    )


def example(config: RewardConfig) -> str:
    """A conversation as a Python literal, its system message the run's own."""
    group = f"Group: the {config.group_in_prompt}" if config.group_in_prompt else ""
    system = "\n".join(part for part in (config.system_prompt, group) if part)
    turns = [("system", system)] if system else []
    return repr([{"role": role, "content": content} for role, content in (*turns, ("user", QUESTION), ("assistant", ANSWER))])


def facts(config: RewardConfig) -> list[str]:
    """What changes a reward, each with what to do about it."""
    system = (
        "**System prompt.** Every conversation began with `system_prompt`, below, as its system message. Give the same: without one, many "
        "templates put in their own, and rewards move."
        if config.system_prompt
        else "**System prompt.** No conversation was given a system message. Give none: rewards move."
    )
    group = f"Its second line named the group of the prompt (the field {config.group_in_prompt}), `Group: …`."
    ends = (
        "**End.** The reward is read at the end-of-turn token, so the text is cut after it."
        if config.read_at == "end_of_turn"
        else "**End.** The reward is read at the last token of the template, after the end-of-turn token: strip nothing. `text_ends_with`, "
        "below, must be there, and no special token is added."
    )
    longest = (
        f"**Longest.** Texts were cut to {config.max_tokens} tokens, the prompt's beginning first: "
        f'`rate.tokenizer.truncation_side = "left"`, and `truncation=True, max_length={config.max_tokens}` in the last line.'
    )
    system_text = f"{system} {group}" if config.group_in_prompt else system
    return [system_text, ends, longest, SCALE, *([LENGTH] if config.length.changes_scores else [])]


def template_tail(tokenizer: Any, config: RewardConfig) -> str:
    """What the text must end with: the end-of-turn token and, unless the reward is read there, what the template writes after it."""
    text = Chat(tokenizer, config.system_prompt, config.max_tokens).response_text([Turn("user", QUESTION)], ANSWER)
    end = text.rindex(tokenizer.eos_token)
    return text[end:] if config.read_at == "template_end" else tokenizer.eos_token


def values(run: RunDir, config: RewardConfig, tokenizer: Any, tail: str) -> dict[str, Any]:
    """The facts that are this run's own."""
    trained_on = run.table("trained_on")
    model = Path(config.model)
    return {
        "run": run.id,
        "name": config.name,
        "base_model": model.name if model.is_absolute() else config.model,
        "system_prompt": config.system_prompt,
        "max_tokens": config.max_tokens,
        "text_ends_with": tail,
        "reward_read_at_token": tokenizer.decode(tokenizer(tail, add_special_tokens=False)["input_ids"][-1:]),
        "dataset": config.dataset,
        "split": config.train_split,
        **({"slice": config.slice.as_values()} if config.slice else {}),
        "pairs": None if trained_on is None else trained_on.height,
        **config.model_dump(include={"group_by", "group", "epochs", "seed", "loss", "length"}),
        "validation": validation(run),
    }


def validation(run: RunDir) -> dict[str, dict[str, float]]:
    """Pairs, accuracy, and mean and standard deviation of the rewards when the run was last measured on each of its validation splits."""
    shown = ("n", "accuracy", "reward_mean", "reward_std")
    return {
        x.split: {"step": x.step, **{name: x.values[name] for name in shown if name in x.values}}
        for x in run.measured
        if x.split != "train"
    }


def harmless(text: str) -> str:
    """JSON in which every character that is not printed is escaped: no control of a terminal, no turned direction."""
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
