"""The claims of every comparison, as `engine summary --claims` prints them: the sentences of the pages."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from engine.plain import line
from engine.settings.slices import Slice, without_rewards
from engine.statistics.claims import claims, findings
from engine.statistics.claims.evidence import Evidence
from engine.statistics.comparison import Comparison, comparisons
from engine.store.database import Connection, reading
from engine.store.slices import described, show_slice

NAMED = """
    select (select name from datasets where dataset_id = $dataset) as dataset, $split as split,
           (select name from named_scorers where scorer_id = $trained) as trained,
           (select name from named_scorers where scorer_id = $untrained) as untrained,
           (select name from named_generators where generator_id = $base) as base,
           (select name from named_generators where generator_id = $tuned) as tuned
"""
LEFT_OUT = " (its conditions on rewards are left out where they would decide the answer)"


def listing(cache: Path, wanted: Slice | None = None) -> list[dict[str, Any]]:
    """For each comparison: its ids, names, claims, and which of them are its findings. wanted: the slice whose rows are looked at."""
    with reading(cache) as con:
        words = None if wanted is None else described(con, wanted)
        show_slice(con, wanted)
        return [
            {
                "comparison": {name: value for name, value in asdict(compared).items() if name != "slice"},
                "names": names(con, compared),
                "slice": words,
                "rewards_left_out": without_rewards(wanted) != wanted,
                "claims": claims(con, compared),
                "findings": [claim.name for claim in findings(con, compared)],
            }
            for compared in (replace(found, slice=wanted) for found in comparisons(con))
            if wanted is None or compared.dataset_id == wanted.dataset_id
        ]


def names(con: Connection, compared: Comparison) -> dict[str, str | None]:
    """What people call the parts of a comparison."""
    found: dict[str, str | None] = Evidence(con, compared).read(NAMED).row(0, named=True)
    return found


def as_json(found: list[dict[str, Any]]) -> str:
    return json.dumps(found, indent=1, ensure_ascii=False, default=lambda claim: claim.as_json())


def as_text(found: list[dict[str, Any]]) -> str:
    """Each page's sentences with their sureness, and the line below each."""
    if not found:
        return "nothing has been scored yet"
    return "\n\n".join("\n".join([title(part), *(lines(part["claims"]))]) for part in found)


def title(part: dict[str, Any]) -> str:
    """Dataset, split, slice and who is compared, on one line."""
    named = part["names"]
    who = [f"{name} {line(named[name])}" for name in ("trained", "untrained", "base", "tuned") if named[name]]
    rows = f", slice {line(part['slice'])}" if part["slice"] else ""
    rows += LEFT_OUT if part["rewards_left_out"] else ""
    return f"{line(named['dataset'])} / {line(named['split'])}{rows}: {', '.join(who)}"


def lines(made: list[Any]) -> list[str]:
    found, page = [], None
    for claim in made:
        if claim.page != page:
            page = claim.page
            found.append(f"  {page}")
        found.append(f"    {claim.sureness:16}{claim}")
        if claim.detail:
            found.append(f"    {'':16}{claim.detail_text()}")
    return found
