"""Table 1 and Table 2."""

from dashboard import queries
from dashboard.figures.registry import TABLES, Table

TABLES += [
    Table(
        "1",
        "preference_pair",
        "How do both scorers rate one pair?",
        "reward_model",
        queries.preference_pair,
        "Import preference pairs and score them to see one pair with its rewards.",
    ),
    Table(
        "2",
        "answered_prompts",
        "What do base and tuned policy answer?",
        "dpo_vs_base",
        queries.answered_prompts,
        "Generate answers with base and tuned policy, then score them, to see them side by side.",
    ),
]
