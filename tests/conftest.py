"""Shared by all tests: no windows, and the cores divided among pytest-xdist's workers."""

import os

import matplotlib as mpl

mpl.use("Agg")  # here only: as an environment variable it would take the lessons' figures too

workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if workers > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
