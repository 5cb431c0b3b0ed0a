"""Static figures of all lessons: each `show_…` draws one figure and ends with `plt.show()`.

Importing this changes nothing. Each figure is drawn inside `style()`, so your own matplotlib
settings stay as they are; use `with plots.style(): …` for a figure of your own in the same look.
Colours are Okabe and Ito's, which colour-blind readers can tell apart.
"""

from course_lib.plots.diffusion import show_flow, show_looks, show_unet
from course_lib.plots.figures import (
    BELIEF,
    BLUE,
    DISCRIMINATOR,
    FAKE,
    GENERATOR,
    GREEN,
    GREY,
    INK,
    NET,
    ORANGE,
    PALETTE,
    PURPLE,
    REAL,
    SKY,
    STYLE,
    VERMILLION,
    show_bars,
    show_histograms,
    show_images,
    show_lines,
    show_losses,
    show_maps,
    show_runs,
    show_scores,
    show_source,
    show_stored,
    style,
    styled,
)
from course_lib.plots.flows import show_roads, show_way
from course_lib.plots.networks import show_networks, show_stamps
from course_lib.plots.planes import show_planes
from course_lib.plots.trainings import show_trainings
from course_lib.plots.words import show_confusion, show_pairs, show_thoughts
