"""Checkers for the exercises. What they say about a wrong answer is meant to teach.

A lesson writes `from course_lib import exercises as check` and ends each exercise with
`check.<what>(answer)`. The verdict is the cell's output; a wrong answer never raises, so that
"Run all cells" goes on past an exercise that is still empty.
"""

from course_lib.exercises.frame import Verdict
from course_lib.exercises.lesson_1 import balance_restored, collapse, cure, discriminator_loss
from course_lib.exercises.lesson_2 import (
    deeper_generator,
    discriminator_block,
    output_side,
    variety,
)
from course_lib.exercises.lesson_3 import (
    diagnosis,
    discriminator_step,
    generator_step,
    moving_average,
    walk,
)
from course_lib.exercises.lesson_4 import matching_loss, misfit, retrieve
from course_lib.exercises.lesson_5 import (
    add_noise,
    attention,
    decibels,
    flow_loss,
    guidance,
    image_to_image,
    inpainting,
    sampler,
    swap_scheduler,
)
from course_lib.exercises.lesson_6 import lead, lora_size, two_sided
from course_lib.exercises.lesson_7 import birthdays, digits, nearest_face
from course_lib.exercises.lesson_8 import cycle_loss, inside_and_outside, patch
