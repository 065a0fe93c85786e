"""Every SELECT of the pages and figures: a connection and a selection in, a Polars frame out."""

from dashboard.queries.answers import (
    answer_length_summary,
    answer_lengths,
    answers_under_base,
    answers_under_trained,
    generators_under_scorers,
    reward_differences,
    scorers_on_generators,
    win_rates,
)
from dashboard.queries.comparisons import accuracy_by_group, accuracy_of_groups, study, study_runs
from dashboard.queries.coverage import differing_settings, missing_scores
from dashboard.queries.curves import (
    curves,
    policy_curves,
    policy_rewards,
    reward_curves,
    reward_curves_compared,
    validation_accuracy,
)
from dashboard.queries.distributions import boxes, histogram
from dashboard.queries.lengths import accuracy_by_length, accuracy_of_lengths, gain_by_length, margin_by_length
from dashboard.queries.offers import newer_models, paired_differences
from dashboard.queries.overview import far_from_guessing
from dashboard.queries.pairs import PAIR_ORDERS, matching_pairs, pair_texts, pairs
from dashboard.queries.preferences import win_rate_by_group, win_rate_by_length, win_tie_loss
from dashboard.queries.prompts import (
    About,
    about_prompt,
    flags_of,
    judges,
    preferred,
    prefers,
    prompt_lines,
    prompt_table,
    prompt_types,
    prompts,
    scales,
)
from dashboard.queries.ranked import pair_place, ranked_pairs
from dashboard.queries.responses import chosen_words, distinguishing_words, rejected_words, response_lengths, response_map, word_counts
from dashboard.queries.scores import (
    accuracy_gain,
    base_boxes,
    base_scores,
    length_rule,
    margin_histogram,
    reward_summaries,
    reward_summary,
    trained_boxes,
    trained_scores,
)
from dashboard.queries.selection import Choices, Selection, choices, default_selection, runs_of_scorers
from dashboard.queries.tables import (
    answered_prompts,
    dataset,
    preference_pair,
    runs,
    sliced_counts,
    sliced_pairs,
)

__all__ = [
    "About", "Choices", "PAIR_ORDERS", "Selection", "about_prompt", "accuracy_by_group", "accuracy_by_length", "accuracy_gain",
    "accuracy_of_groups", "accuracy_of_lengths", "answer_length_summary", "answer_lengths", "answered_prompts", "answers_under_base",
    "answers_under_trained", "base_boxes", "base_scores", "boxes", "choices", "chosen_words", "curves", "dataset", "default_selection",
    "differing_settings", "distinguishing_words", "far_from_guessing", "flags_of", "gain_by_length", "generators_under_scorers",
    "histogram", "judges", "length_rule", "margin_by_length", "margin_histogram", "matching_pairs", "missing_scores", "newer_models",
    "pair_place", "pair_texts", "paired_differences", "pairs", "policy_curves", "policy_rewards", "preference_pair", "preferred",
    "prefers", "prompt_lines", "prompt_table", "prompt_types", "prompts", "ranked_pairs", "rejected_words", "response_lengths",
    "response_map", "reward_curves", "reward_curves_compared", "reward_differences", "reward_summaries", "reward_summary", "runs",
    "runs_of_scorers", "scales", "scorers_on_generators", "sliced_counts", "sliced_pairs", "study", "study_runs", "trained_boxes",
    "trained_scores", "validation_accuracy", "win_rate_by_group", "win_rate_by_length", "win_rates", "win_tie_loss", "word_counts",
]  # fmt: skip
