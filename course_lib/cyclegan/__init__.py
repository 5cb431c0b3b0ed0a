"""Lesson 8: translation without pairs (article, section 2.1), and what it is worth.

Zhu et al. 2017 (arXiv 1703.10593), small. In the order of the lesson: pictures of two `domains`,
the networks (`players`), the `step`, a whole training (`learning`); then what no CycleGAN can know,
on exact pairs that it never saw (`measuring`), and what it tells itself in secret (`hiding`).
"""

from course_lib.cyclegan.domains import (
    AQUA_PURPLE,
    BLACK_BLONDE,
    COLOURS_BLACK,
    Paired,
    Unpaired,
    exact_pairs,
    of_domains,
)
from course_lib.cyclegan.hiding import disturb, magnified, remembered, ways_back
from course_lib.cyclegan.learning import (
    PRESETS,
    Recipe,
    Trained,
    build,
    load,
    load_or_train,
    networks,
    train,
    translate,
)
from course_lib.cyclegan.measuring import (
    Errors,
    as_asked,
    at_the_edge,
    differs,
    errors,
    kept,
    kept_each,
    measure,
    way,
)
from course_lib.cyclegan.players import Discriminator, Generator, Translators
from course_lib.cyclegan.step import (
    Pool,
    cycle_step,
    paired_step,
    passing,
    real_enough,
    told_apart,
)
