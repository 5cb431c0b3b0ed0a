"""Shared by all tests: no windows, and one thread for each of pytest-xdist's workers."""

import os

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")  # here only: as an environment variable it would take the lessons' figures too

if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # threads of several would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def few_faces():
    from course_lib.faces import Faces

    images = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    return Faces(images, name="noise")
