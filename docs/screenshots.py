"""Pictures of every page: `python docs/screenshots.py --cache cache --out docs/screenshots`.

Each page is taken 1440 and 390 pixels wide in the light theme, the overview in the dark one too, as small PNG files.
"""

import argparse
import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("overview", "data", "training", "reward_model", "length_bias", "dpo_vs_base", "prompts", "playground", "runs", "report")
SIZES = {1440: 900, 390: 844}  # width and height of the window in pixels
TALLEST, LARGEST = 1800, 150_000  # pixels, bytes
SETTLED = """call => {
    const all = query => [...document.querySelectorAll(query)]
    const app = document.querySelector('[data-testid=stApp]')
    const settled = app?.dataset.testScriptState === 'notRunning' && all('h1').length > 0
        && all('[data-stale=true], [data-testid=stSkeleton]').length === 0
        && all('[data-testid=stPlotlyChart]').every(chart => chart.querySelector('.main-svg'))
    const before = window.settled?.call === call ? window.settled.since : null
    window.settled = {call, since: settled ? before ?? performance.now() : null}
    return settled && performance.now() - window.settled.since >= 500
}"""

Theme = Literal["light", "dark"]


@dataclass(frozen=True)
class Served:
    """A dashboard that is running."""

    url: str
    process: subprocess.Popen[bytes]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(cache: Path, log: Path, seconds: float = 60) -> Iterator[Served]:
    """The dashboard over a cache, on a free port. Raises RuntimeError with its log when it does not answer in time."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", "dashboard/app.py", "--server.headless=true", f"--server.port={port}"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "PREFSCOPE_CACHE": str(cache.resolve())}, stdout=output, stderr=output
        )
    try:
        wait_for_answer(f"http://127.0.0.1:{port}/_stcore/health", process, log, seconds)
        yield Served(f"http://127.0.0.1:{port}", process)
    finally:
        process.kill()
        process.wait()


def wait_for_answer(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"the dashboard did not answer on {url}: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The installed Chromium, without a window; rather Debian's build that never has one. Raises RuntimeError when there is none."""
    names = "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise RuntimeError("chromium is not installed (on Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


def opened(browser: Browser, url: str, width: int = 1440, theme: Theme = "light") -> Page:
    """A page of the dashboard in a window of its own, drawn to the end."""
    return shown(browser.new_context(viewport={"width": width, "height": SIZES[width]}, color_scheme=theme).new_page(), url)


def shown(page: Page, url: str) -> Page:
    """The page with what lies at an address, drawn to the end."""
    page.goto(url)
    settle(page)
    return page


def settle(page: Page, seconds: float = 60) -> None:
    """Wait until the script has run and every figure is drawn, and that for half a second; asked seldom, since each time costs a frame."""
    page.wait_for_function(SETTLED, arg=time.monotonic(), timeout=seconds * 1000, polling=100)


def picture(page: Page) -> Image.Image:
    """The page from its top to its end, or to TALLEST."""
    size = page.viewport_size
    assert size is not None
    height = int(page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight"))
    page.set_viewport_size({"width": size["width"], "height": min(max(height, size["height"]), TALLEST)})
    page.wait_for_timeout(500)
    settle(page)
    return Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")


def save(taken: Image.Image, path: Path) -> None:
    """Write a PNG with as many colours as fit into LARGEST bytes."""
    for colours in (256, 128, 64, 32, 16):
        taken.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= LARGEST:
            return


def address(name: str) -> str:
    """The first page has no name in the address."""
    return "" if name == PAGES[0] else name


def take(browser: Browser, url: str, out: Path) -> Iterator[Path]:
    """Save every page in both widths, and the overview in the dark theme too."""
    for name in PAGES:
        themes: tuple[Theme, ...] = ("light", "dark") if name == "overview" else ("light",)
        for width, theme in ((width, theme) for width in SIZES for theme in themes):
            page = opened(browser, f"{url}/{address(name)}", width, theme)
            path = out / f"{name}-{width}{'-dark' if theme == 'dark' else ''}.png"
            save(picture(page), path)
            page.context.close()
            yield path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, default=ROOT / "cache", help="what the pages show")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshots", help="folder for the pictures")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with served(options.cache, options.out / ".dashboard.log") as dashboard, chromium() as browser:
        for path in take(browser, dashboard.url, options.out):
            print(f"{path} {path.stat().st_size / 1000:.0f} kB")
    (options.out / ".dashboard.log").unlink()


if __name__ == "__main__":
    main()
