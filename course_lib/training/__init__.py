"""The training loop that lessons 3, 4 and 5 share: `fit` calls your `step` on batch after batch.

What is learnt, and by which loss, is written in the lesson's own step (see `dcgan.tutorial_step`).
What every training needs around it is here, once, a file each:

    loop         the loop itself, one screen
    batches      the order of the images, flips
    parts        what is trained and kept: networks, optimisers, averages; learning rates
    watching     losses, time, pictures along the way, TensorBoard, the profiler
    checkpoints  going on where it was interrupted
    machine      the device, the precision, processes, threads, random numbers
    plan         what a lesson's room gives: `Training`, `Preset`

It is the same loop in one process or in many (`torchrun`, `accelerate launch`). Each process has
its own part of every batch and its own random numbers; gradients are averaged while they are
computed (`accelerator.prepare` sees to that); the losses in the history are means over all. The
averages of the weights, the pictures and the files are the main process's affair.
"""

from course_lib.training.average import EMA, refresh_batchnorm
from course_lib.training.batches import Batches, Data
from course_lib.training.checkpoints import Checkpoints
from course_lib.training.failures import (
    BadLossError,
    CheckpointError,
    OutOfMemoryError,
    TrainingError,
)
from course_lib.training.history import History, Snapshot
from course_lib.training.loop import Step, fit
from course_lib.training.machine import (
    derive,
    fast_precision,
    few_threads,
    leave,
    make_accelerator,
)
from course_lib.training.parts import linear_decay, one_cycle
from course_lib.training.plan import Preset, Training, took
from course_lib.training.watching import TensorBoard, step_profiler
