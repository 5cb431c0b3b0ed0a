"""What stands in a widget's place where no kernel runs, as on GitHub."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Sequence

import ipywidgets
from PIL import Image

from course_lib.widgets import look


class WithStill(ipywidgets.VBox):
    """A column of widgets that leaves `still()` in the notebook, and `words` without pictures."""

    _ipython_display_ = None  # ipywidgets 7 would show itself by this, without the still
    words = ""

    def __init__(self, children: Sequence[ipywidgets.Widget], **settings):
        super().__init__([*children, look.sheet()], **settings)
        self.add_class("course-widget")

    def still(self) -> bytes:
        """A PNG of what the widget shows."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **_) -> dict:
        bundle = {
            "text/plain": self.words,
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.model_id,
            },
        }
        # Colab gets what ipywidgets' own send, and no more: it does not say which of a picture
        # and a widget it would show.
        if "google.colab" not in sys.modules:
            bundle["image/png"] = base64.b64encode(self.still()).decode("ascii")
        return bundle


def encode(picture: Image.Image, form: str = "PNG", **options) -> bytes:
    """A picture as the bytes of a file. options: those of Pillow's `save`."""
    encoded = io.BytesIO()
    picture.save(encoded, form, **options)
    return encoded.getvalue()
