"""The tables of the report."""

from dashboard import queries
from dashboard.figures.registry import POLICIES, SCORERS, TABLES, Table

TABLES += [
    Table(
        "1",
        "preference_pair",
        "How do both reward models rate one pair?",
        "reward_model",
        queries.preference_pair,
        "Import preference pairs and score them to see one pair with its rewards.",
        SCORERS,
    ),
    Table(
        "2",
        "answered_prompts",
        "What do base and tuned policy answer?",
        "dpo_vs_base",
        queries.answered_prompts,
        "Generate answers with base and tuned policy, then score them, to see them side by side.",
        (*POLICIES, *SCORERS),
    ),
    Table(
        "3",
        "study",
        "What does each configuration of the study reach?",
        "training",
        queries.study,
        "Start a study with `./run.sh engine study` to compare its configurations over several seeds.",
    ),
    Table(
        "4",
        "accuracy_by_group",
        "How right is each reward model on each group?",
        "reward_model",
        queries.accuracy_by_group,
        "Train reward models on pairs that name a group (a type of prompt, a source) to compare them on each.",
        outcome=True,
    ),
    Table(
        "5",
        "accuracy_of_lengths",
        "Is it right where length cannot decide?",
        "length_bias",
        queries.accuracy_of_lengths,
        "Score the pairs with a reward model to compare it with the rule that the longer response is better.",
        SCORERS,
        outcome=True,
    ),
]
