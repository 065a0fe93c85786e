"""Measurements, each in a process of its own, forked where torch and transformers are imported already: `python -m tests.benchmarks.child`.

Asked line by line on the standard input, in JSON: the files of a task, its answer and its log, and what its environment adds. Says the exit
status.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import engine.model.networks  # noqa: F401  # what every side needs, once

from .measure import Measured, Task


def read(asked: str) -> Task:
    return Task(**json.loads(Path(asked).read_text(encoding="utf-8")))


def called(task: Task) -> Callable[[Task], Measured]:
    """The function that a task names, its module imported."""
    module, function = task.call.split(":")
    found: Callable[[Task], Measured] = getattr(import_module(f"{__package__}.{module}"), function)
    return found


def main(asked: str, answer: str) -> None:
    task = read(asked)
    found = called(task)(task)
    Path(answer).write_text(json.dumps(asdict(found), allow_nan=False), encoding="utf-8")


def forked(asked: str, answer: str, log: str, environment: dict[str, str], early: bool) -> int:
    """The exit status of a process that does one task. With `early` its module is imported before, once for all tasks of the module."""
    if early:
        with suppress(Exception):  # the process says what is wrong
            called(read(asked))
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        with open(log, "wb") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        os.environ.update(environment)
        main(asked, answer)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    for line in sys.stdin:
        print(forked(**json.loads(line)), flush=True)
