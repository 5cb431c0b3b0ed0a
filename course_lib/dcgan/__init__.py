"""Lessons 2 and 3: the DCGAN of Radford et al. 2015 (arXiv 1511.06434).

In the order in which the lessons explain it: the generator, its mirror image the discriminator, the
first weights (`players`); the `step` and its losses; recipes and a whole training (`learning`); and
the `styled` networks, by which lesson 3 mends what is left.
"""

from course_lib.dcgan.learning import (
    CALM,
    FILM,
    HINGE,
    PRESETS,
    R1,
    TUTORIAL,
    Recipe,
    Trained,
    build,
    load_or_train,
    networks,
    paint,
    train,
)
from course_lib.dcgan.players import (
    MIDDLE_LAYERS,
    NOISE_SIZE,
    Discriminator,
    Generator,
    initialise_weights,
)
from course_lib.dcgan.step import (
    LOSSES,
    adversarial_step,
    augment,
    bce_discriminator_loss,
    bce_generator_loss,
    gradient_penalty,
    hinge_discriminator_loss,
    hinge_generator_loss,
    tutorial_step,
)
from course_lib.dcgan.styled import ComparingDiscriminator, StyledGenerator
from course_lib.tracing import (  # lesson 2's tools to look inside
    Layer,
    Trace,
    count_flops,
    count_parameters,
    trace_shapes,
)
