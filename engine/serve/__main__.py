"""python -m engine.serve: the playground's process, as the dashboard starts it. Torch is loaded once it is alone."""

import argparse
import logging
import os
import sys

from engine.errors import PrefscopeError, RunError, ServeError
from engine.plain import say
from engine.store.rundir import cache_path, wait_for_lock
from engine.store.server import announce, lock_of_server


def main() -> int:
    parser = argparse.ArgumentParser(prog="engine.serve", description="Answer, score and look into responses for the dashboard.")
    parser.add_argument("--idle-minutes", type=float, default=10.0, help="end when nobody has asked for so long (default: 10)")
    parser.add_argument("--memory-gb", type=float, help="GB (10^9 bytes) this process may take (default: what is free)")
    options = parser.parse_args()
    cache = cache_path()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    try:
        lock = wait_for_lock(lock_of_server(cache), 1)
    except RunError:
        say(f"error: {ServeError(f'another process serves {cache} already')}", file=sys.stderr)
        return 1
    announce(lock, None)
    os.environ["HF_HUB_OFFLINE"] = "1"  # it downloads nothing
    from transformers.utils import logging as transformers_logging

    from engine.serve.server import serve

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        limit = None if options.memory_gb is None else round(options.memory_gb * 1e9)
        logging.info("ended: %s", serve(cache, lock, 60 * options.idle_minutes, limit))
    except PrefscopeError as error:
        say(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # a step that still computes is not waited for: a run wants the memory
