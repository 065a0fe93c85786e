"""Training curves, read from the view `curves` (engine.store.database.show_live), so that a run is seen while it goes on."""

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from dashboard.queries.selection import Selection
from engine.errors import ConfigError
from engine.settings.config import PolicyConfig
from engine.settings.files import parse_written
from engine.statistics.estimate import column
from engine.statistics.intervals import wilson
from engine.store.database import Connection, frame

MOST_POINTS = 1500  # drawn per curve; the smoothed line is averaged over all steps before they are thinned

CURVES = """
    with numbered as (
        select run_id, name as run, state,
               row_number() over (partition by dataset_id, kind in ('reward', 'policy') order by run_id) - 1 as run_index,
               cast(config ->> 'batch_size' as integer) * cast(config ->> 'accumulation' as integer) as pairs_per_step
        from runs
    ), c as (
        select *, count(*) over w as points, row_number() over (w order by step) as place
        from curves where run_id in (select unnest($runs)) and name in (select unnest($names)) and (split = 'train') = $train
        window w as (partition by run_id, split, name)
    ), s as (
        select *, avg(value) over (partition by run_id, split, name order by place
                                   rows between {half} preceding and {half} following) as smooth
        from c
    )
    select n.run_id, n.run, n.run_index, n.state, s.split, s.name as metric, s.step, s.step * n.pairs_per_step as pairs_seen,
           n.pairs_per_step, s.seconds, s.tokens, s.value, s.smooth, s.points, $axis as x_axis, $smoothing as smoothing
    from s join numbered n using (run_id)
    where (place - 1) % greatest(1, points // {most}) = 0 or place = points
    order by list_position($runs, n.run_id), s.name, s.split, s.step
"""
TRAINED = """
    select run_id, step, tokens from curves
    where run_id in (select unnest($runs)) and split = 'train' and name = 'loss' order by step
"""
CONFIGS = "select run_id, state, config from runs where run_id in (select unnest($runs))"
LONGEST = """
    select coalesce(max(n), 0) as longest
    from (select count(*) as n from curves where run_id in (select unnest($runs)) group by run_id, split, name)
"""


def curves(con: Connection, selection: Selection, runs: tuple[str, ...], names: tuple[str, ...], train: bool = True) -> pl.DataFrame:
    """Long form: run_id, run, run_index, state, split, metric, step, pairs_seen, pairs_per_step, seconds, tokens, value, smooth, points.

    smooth: centred mean over the selected share of the longest run's steps. points: how many the curve has before it is thinned.
    x_axis, smoothing: as selected. tokens: trained on so far, also at a validation. seeds, low, high: as in `over_seeds`.
    """
    longest = frame(con, LONGEST, {"runs": list(runs)}).item()
    query = CURVES.format(half=round(longest * selection.smoothing / 2), most=MOST_POINTS)
    values = {"axis": selection.x_axis, "smoothing": selection.smoothing}
    rows = frame(con, query, {"runs": list(runs), "names": list(names), "train": train, **values})
    return over_seeds(con, rows if train else with_tokens(rows, frame(con, TRAINED, {"runs": list(runs)})))


def with_tokens(validations: pl.DataFrame, trained: pl.DataFrame) -> pl.DataFrame:
    """Measurements with the tokens that were trained on until then."""
    numbered = validations.drop("tokens").with_row_index().sort("step")
    joined = numbered.join_asof(trained, on="step", by="run_id", check_sortedness=False)  # both are sorted; by run it cannot be checked
    return joined.sort("index").select(validations.columns)


def over_seeds(con: Connection, rows: pl.DataFrame) -> pl.DataFrame:
    """Curves of finished runs that differ in nothing but the seed as one: the mean of their values, and low and high of the smoothed ones.

    It goes under the first run's id and index. seeds: how many runs a curve is of; of one, low and high are its smoothed value.
    """
    configs = frame(con, CONFIGS, {"runs": rows["run_id"].unique().to_list()})
    keys = [settings_key(json.loads(config)) if state == "done" else run for run, state, config in configs.iter_rows()]
    labels = configs.select(
        "run_id", pl.col("config").str.json_path_match("$.configuration").alias("label"), repeats=pl.Series(keys, dtype=pl.String)
    )
    several = rows.join(labels, on="run_id", how="left", maintain_order="left").with_columns(
        members=pl.col("run_id").n_unique().over("repeats")
    )
    each = [name for name in rows.columns if name not in ("split", "metric", "step")]
    means = ("pairs_seen", "seconds", "tokens", "value", "smooth")
    found = several.group_by("repeats", "split", "metric", "step", maintain_order=True).agg(
        *(pl.col(name).mean().cast(rows.schema[name]) if name in means else pl.col(name).first() for name in each),
        pl.col("label", "members").first(), pl.len().alias("seeds"), low=pl.col("smooth").min(), high=pl.col("smooth").max(),
    )  # fmt: skip
    named = pl.format("{}, {} seeds", pl.coalesce("label", pl.col("run").str.replace(r",? seed \d+$", "")), "seeds")
    found = found.filter(pl.col("seeds") == pl.col("members"))  # a step that one of them lacks says nothing of them all
    return found.with_columns(run=pl.when(pl.col("seeds") > 1).then(named).otherwise(pl.col("run"))).select(
        *rows.columns, "seeds", "low", "high"
    )


def settings_key(config: Mapping[str, Any]) -> str:
    """The same text for two runs that differ in nothing but the seed."""
    own = ("name", "seed", "study", "configuration", "parents", "format")
    return json.dumps({name: value for name, value in config.items() if name not in own}, sort_keys=True)


def reward_curves(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 1: loss and learning rate of the first selected reward run."""
    return curves(con, selection, selection.reward_runs[:1], ("loss", "learning_rate"))


def reward_curves_compared(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 2: loss and learning rate of every selected reward run; nothing of one alone, which is Figure 1."""
    rows = curves(con, selection, selection.reward_runs, ("loss", "learning_rate"))
    return rows if rows["run_id"].n_unique() > 1 else rows.clear()


def validation_accuracy(con: Connection, selection: Selection) -> pl.DataFrame:
    """Accuracy on the validation splits while training, a row for each measurement: `n` pairs and `accuracy`, an Estimate.

    That of a policy is its implicit reward's (metric: rewards/accuracies). A run writes down shares and not pairs: its interval is
    Wilson's, as if no two pairs shared a prompt. n and accuracy are null when the run did not say how many pairs it measured; of several
    seeds there is their range in place of an interval.
    """
    runs = selection.reward_runs + selection.policy_runs
    rows = curves(con, selection, runs, ("accuracy", "rewards/accuracies", "n"), train=False)
    sizes = rows.filter(pl.col("metric") == "n").select("run_id", "split", "step", pl.col("value").alias("n"))
    points = rows.filter(pl.col("metric") != "n").join(sizes, on=["run_id", "split", "step"], how="left", maintain_order="left")
    shares = [
        wilson(value * n, int(n)) if n and seeds == 1 else None for value, n, seeds in points.select("value", "n", "seeds").iter_rows()
    ]
    return points.with_columns(column("accuracy", shares))


def policy_curves(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 6: loss and the sum of chosen and rejected rewards of every selected policy run, with what they are (`with_units`)."""
    return with_units(con, curves(con, selection, selection.policy_runs, ("loss", "rewards/sum")))


def policy_rewards(con: Connection, selection: Selection) -> pl.DataFrame:
    """Figure 7: rewards of chosen and rejected responses under every selected policy run, with what they are (`with_units`)."""
    return with_units(con, curves(con, selection, selection.policy_runs, ("rewards/chosen", "rewards/rejected")))


def with_units(con: Connection, rows: pl.DataFrame) -> pl.DataFrame:
    """Curves of policy runs with loss_unit, reward (what a reward of the run's loss is) and reward_unit, as the loss declares them."""
    configs = frame(con, CONFIGS, {"runs": rows["run_id"].unique().to_list()})
    units = [{"run_id": run, **units_of(json.loads(config))} for run, _state, config in configs.iter_rows()]
    schema = dict.fromkeys(("run_id", "loss_unit", "reward", "reward_unit"), pl.String)
    return rows.join(pl.DataFrame(units, schema=schema), on="run_id", how="left", maintain_order="left")


def units_of(config: dict[str, Any]) -> dict[str, str]:
    """What loss and rewards of a policy run are. A sum of losses of several units has none; nor has a loss this version does not know."""
    try:
        settings = parse_written(config, "configuration")
    except ConfigError:
        settings = None
    if not isinstance(settings, PolicyConfig):
        return {"loss_unit": "", "reward": "reward of a loss unknown here", "reward_unit": ""}
    loss_units = {loss.loss_unit for loss in (settings.loss, *(added.loss for added in settings.added))}
    reward = settings.loss.reward
    return {"loss_unit": loss_units.pop() if len(loss_units) == 1 else "", "reward": reward.label, "reward_unit": reward.unit}


LIVE = frozenset({curves, reward_curves, reward_curves_compared, validation_accuracy, policy_curves, policy_rewards})
"""The queries that read the view `curves`: while a run goes on, their results change without the database."""
