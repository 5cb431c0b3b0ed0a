"""A plugin of pytest's: nbval's differences in one form, each side whole and on one line.

pytest's own words for a difference depend on its version, its verbosity and the kind of the thing.
"""

from __future__ import annotations

import json
from typing import Any

EXPECTED, FOUND = "stored in the lesson: ", "found here: "


def pytest_assertrepr_compare(op: str, left: Any, right: Any) -> list[str]:
    """nbval puts what is stored on the left, what the cell has just made on the right."""
    return [EXPECTED + json.dumps(left, default=repr), FOUND + json.dumps(right, default=repr)]
