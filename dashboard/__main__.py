"""prefscope: `prefscope dashboard` opens the pages, `prefscope report --out FOLDER` writes figures and tables, all else is the engine's."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import engine.__main__
from dashboard.ports import free_port
from engine import ROOT
from engine.plain import say


def main() -> int:
    """Hand the words of the command line to whom they belong."""
    match sys.argv[1:]:
        case ["dashboard", *options]:
            serve(options)
        case ["report", *options]:
            from dashboard.report import export  # here, because it imports plotly

            return export.main(options)
        case [] | ["-h" | "--help"]:
            say(f"{__doc__}\n")
            return engine.__main__.main(["--help"])
        case options:
            return engine.__main__.main(options)


def serve(options: list[str]) -> NoReturn:
    """Become streamlit's server on the first free port from 8501 on; `options` are streamlit's own."""
    app = Path(__file__).parent / "app.py"
    os.chdir(ROOT)  # where streamlit looks for .streamlit/config.toml, which holds the address
    found = [sys.executable, "-m", "streamlit", "run", str(app), "--server.headless=true", f"--server.port={free_port(8501)}"]
    os.execv(sys.executable, [*found, *options])


if __name__ == "__main__":
    sys.exit(main())
