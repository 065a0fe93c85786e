"""The process of one measurement: `python -m tests.benchmarks.child TASK.json ANSWER.json`."""

import json
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from .measure import Task


def main(asked: str, answer: str) -> None:
    task = Task(**json.loads(Path(asked).read_text()))
    module, function = task.call.split(":")
    found = getattr(import_module(f"{__package__}.{module}"), function)(task)
    Path(answer).write_text(json.dumps(asdict(found), allow_nan=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
