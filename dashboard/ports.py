"""The port the dashboard listens on: the one asked for, or the next that is free. Printed for run.sh."""

import socket
import sys

TRIED = 100


def free_port(first: int) -> int | None:
    """The first port from `first` on that nobody listens on at 127.0.0.1, or None when a hundred are taken."""
    for port in range(first, min(first + TRIED, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return None


def main(asked: str) -> int:
    """Print the port, or a sentence about why there is none."""
    if not (asked.isdecimal() and 0 < int(asked) < 65536):
        print(f"error: PORT is {asked!r}, expected a number from 1 to 65535", file=sys.stderr)
        return 1
    port = free_port(int(asked))
    print(port or f"error: no free port from {asked} on", file=sys.stdout if port else sys.stderr)
    return 0 if port else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
