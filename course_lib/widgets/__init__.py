"""Interactive figures, made of core ipywidgets only, so that JupyterLab and Colab both show them.

A picture is drawn with Pillow and put into an `Image` widget. Where there is no kernel, as on
GitHub, a still of the same picture stands in its place.
"""

from course_lib.widgets.canvas import draw_game
from course_lib.widgets.duel import Duel
from course_lib.widgets.easel import Easel
from course_lib.widgets.playground import Playground
from course_lib.widgets.replay import replay
from course_lib.widgets.scrubber import Scrubber, film
from course_lib.widgets.sketchpad import Sketchpad
from course_lib.widgets.verdicts import VerdictSheet

__all__ = [
    "Duel",
    "Easel",
    "Playground",
    "Scrubber",
    "Sketchpad",
    "VerdictSheet",
    "draw_game",
    "film",
    "replay",
]
