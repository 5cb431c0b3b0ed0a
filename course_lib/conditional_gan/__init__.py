"""Lesson 4: a GAN that paints what a sentence says (article, section 3).

Lesson 2's two networks, each with a second input: the thought vector x of a sentence, from
`course_lib.text`. G(z, x) paints; D(image, x) says whether the image is real *and* fits. In the
order of the lesson: the networks (`players`), the `pairs` that D learns from, the `step`, whether a
painter obeys (`following`), a whole training (`learning`).
"""

from course_lib.conditional_gan.following import Painter, follow, paint
from course_lib.conditional_gan.learning import (
    PRESETS,
    Recipe,
    Trained,
    build,
    load_or_train,
    networks,
    train,
)
from course_lib.conditional_gan.pairs import Told
from course_lib.conditional_gan.players import (
    Discriminator,
    Generator,
    even,
)
from course_lib.conditional_gan.step import (
    MISMATCHED,
    conditional_step,
    loss_of_discriminator,
    misfits,
    nearest_words,
    sameness,
    scores_of_pairs,
)
