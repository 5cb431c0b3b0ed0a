"""The judge: a small network that reads every attribute of a drawn face from its pixels.

Whoever painted a face, a GAN or a diffusion model, the judge says what is to be seen in it:

    reading = judge.read(images)                 # float (B, 3, 64, 64) in [-1, 1], or Faces
    reading.names[0]                             # {"hair_color": "red", "eye_color": "blue", …}
    reading.confidence["hair_color"][0]          # 0.99: how sure it is
    reading.shares("hair_color")                 # how often each colour was painted

    judge.obedience(images, asked)               # how often they are what was asked for

How far it can be trusted is measured on drawings it has never seen:

    python -m course_lib.judge

`course train judge --export` trains it; its weights are described in `data/weights/README.md`.
"""

from course_lib.judge.learning import PRESETS, Recipe, build
from course_lib.judge.network import LAYERS, SIZE, Judge, JudgeError, load
from course_lib.judge.obedience import eye_colours, is_so, mean_accuracy, obedience
from course_lib.judge.reading import Reading, read
from course_lib.judge.trust import (
    DISTURBANCES,
    FRESH_SEED,
    Score,
    accuracy,
    blur,
    calibrate,
    calibration_error,
    jitter,
    label_numbers,
    noise,
    recolour,
    report,
    shift,
    target,
)
