"""The tests of tests/gpu run where there are torch, transformers, accelerate, peft, pydantic and pytest, and little else."""

import os
import subprocess
import sys

import pytest

from engine import ROOT

ABSENT = ("duckdb", "polars", "pyarrow", "streamlit", "plotly", "hypothesis")


@pytest.mark.slow
def test_gpu_tests_need_neither_database_nor_tables_nor_pages() -> None:
    """All of them, on the CPU, in a process that cannot import what a bare GPU machine lacks."""
    program = f"import sys; sys.modules.update(dict.fromkeys({ABSENT})); import pytest; sys.exit(pytest.main(['-q', 'tests/gpu']))"
    alone = {"PREFSCOPE_GPU_DEVICE": "cpu", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env={**os.environ, **alone}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout
