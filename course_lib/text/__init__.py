"""Lesson 4: a sentence becomes a thought vector.

    encoder = text.load()
    encoder.think("red eyes, blue hair").vector       # (1, 128), near that of 红眼睛，蓝色头发
    encoder.think("red eyes, blue hair").states       # (1, T, 128), a vector for each token
    encoder.understand("red eyes, a tuba").unknown    # ["tuba"]
    text.facts_of("red eyes, round glasses")          # {"eye_color": ["red"], "glasses": ["round"]}

    text.load_clip().sight.look(images).vector        # (B, 128), faces beside the thoughts

`course train text --export` trains it; how far it knows what was said is measured by

    python -m course_lib.text
"""

from course_lib.text import tower
from course_lib.text.distilling import DistillingRecipe, Parallel, distil, distil_step
from course_lib.text.encoder import LENGTH, PAD, TextEncoder, Thoughts, Understanding, vocabulary
from course_lib.text.facts import facts_of
from course_lib.text.learning import (
    EVENLY,
    PRESETS,
    SAY,
    Recipe,
    build,
    contrast,
    invented,
    mistaken,
    rephrased,
)
from course_lib.text.obeying import follow, held_out_captions, in_brief
from course_lib.text.probes import probe
from course_lib.text.sight import Clip, Looks, Sight, load, load_clip
from course_lib.text.verdict import (
    UnknownWords,
    remarks,
    summary,
    told_already,
    verdicts,
    warn_of_unknown,
)
