"""Shared by all tests: no windows, and the cores divided among pytest-xdist's workers."""

import os

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")  # here only: as an environment variable it would take the lessons' figures too

workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if workers > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))


@pytest.fixture
def few_faces():
    from course_lib.faces import Faces

    images = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    return Faces(images, name="noise")
