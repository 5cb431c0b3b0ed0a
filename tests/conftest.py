"""Shared by all tests: no windows, and the cores divided among pytest-xdist's workers."""

import os

os.environ.setdefault("MPLBACKEND", "Agg")

workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if workers > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
