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


if __name__ == "__main__":
    print(free_port(int(sys.argv[1])) or "")
