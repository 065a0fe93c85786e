"""Several scorers as one: what enters the mean, and how far they agree on a response and on a pair."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]  # (texts, members), or one value per text


def standardised(rewards: Matrix) -> Matrix:
    """Each member's rewards with mean 0 and standard deviation 1 over the texts: z = (r − mean) / std, std with n − 1.

    A Bradley-Terry reward has no zero, and its scale is what training made of it: without this the member with the widest rewards
    decides alone, and the standard deviation between members says how their scales differ instead of what they think.
    rewards: (texts, members). A member whose rewards are all equal has no standard score: the result is nan.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        scores: Matrix = (rewards - rewards.mean(axis=0)) / rewards.std(axis=0, ddof=1)
    return scores


def win_shares(rewards: Matrix, prompts: Sequence[str]) -> Matrix:
    """For each member, the share of the other responses to the same prompt that a response beats, a tie counting half.

    s_m(x) = mean over y ≠ x of [r_m(x) > r_m(y)] + ½ [r_m(x) = r_m(y)]
    Their mean over members is the vote: with two responses to a prompt, the share of members that prefer this one. A response without a
    rival has ½. rewards: (texts, members); prompts: of each text.
    """
    shares = np.full(rewards.shape, 0.5)
    for rows in places_of(prompts).values():
        if len(rows) > 1:
            own = rewards[rows]
            won = (np.sign(own[:, None, :] - own[None, :, :]) + 1) / 2
            shares[rows] = (won.sum(axis=1) - 0.5) / (len(rows) - 1)  # without the half point against itself
    return shares


def unlike_shares(values: Matrix, joined: Matrix, prompts: Sequence[str]) -> Matrix:
    """For each text, the mean share of members that rank it and another response to its prompt unlike the ensemble does.

    The mean over y ≠ x of what `agreement` says of (x, y); nan without a rival. values: (texts, members); joined: (texts,).
    """
    shares = np.full(len(joined), np.nan)
    for rows in places_of(prompts).values():
        for x in rows if len(rows) > 1 else ():
            rivals = [y for y in rows if y != x]
            shares[x] = agreement(values[x] - values[rivals], joined[x] - joined[rivals]).disagreement.mean()
    return shares


def places_of(prompts: Sequence[str]) -> dict[str, list[int]]:
    """The places of each prompt's texts."""
    places = defaultdict(list)
    for place, prompt in enumerate(prompts):
        places[prompt].append(place)
    return places


def combined(values: Matrix, weights: Matrix) -> Matrix:
    """Σ_m w_m v_m / Σ_m w_m for each text. values: (texts, members), weights: (members,), not negative."""
    joined: Matrix = values @ weights / weights.sum()
    return joined


@dataclass(frozen=True)
class Agreement:
    """How the members of an ensemble rank pairs, one value per pair."""

    disagreement: Matrix  # share of members that rank the pair unlike the ensemble does, a tie counting half
    alike: NDArray[np.bool_]  # all members prefer the same response


def agreement(margins: Matrix, joined: Matrix) -> Agreement:
    """Who ranks a pair like whom: mean over members of ½ |sgn margin_m − sgn margin|, and whether all signs are the same one.

    margins: of the members, chosen − rejected, (pairs, members); joined: of the ensemble, (pairs,).
    """
    signs = np.sign(margins)
    unlike = np.abs(signs - np.sign(joined)[:, None]) / 2
    return Agreement(unlike.mean(axis=1), np.abs(signs.sum(axis=1)) == signs.shape[1])
