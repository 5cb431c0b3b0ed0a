"""What stands in a widget's place where no kernel runs, as on GitHub."""

from __future__ import annotations

import base64
import io

import ipywidgets
from PIL import Image


class WithStill(ipywidgets.VBox):
    """A column of widgets that leaves `still()` in the notebook, and `words` without pictures."""

    _ipython_display_ = None  # ipywidgets 7 would show itself by this, without the still
    words = ""

    def still(self) -> bytes:
        """A PNG of what the widget shows."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **_) -> dict:
        return {
            "text/plain": self.words,
            "image/png": base64.b64encode(self.still()).decode("ascii"),
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.model_id,
            },
        }


def encode(picture: Image.Image, form: str = "PNG", **options) -> bytes:
    """A picture as the bytes of a file. options: those of Pillow's `save`."""
    encoded = io.BytesIO()
    picture.save(encoded, form, **options)
    return encoded.getvalue()
