"""The data: pictures of faces and what is known about them. Five doors.

    load("train")                       the 6,000 drawings that come with the course
    render(1000, seed=1)                as many new ones as you like, or of any other DiceBear style
    from_folder("my pictures")          your own pictures
    from_hub("huggan/anime-faces")      a data set on the Hugging Face Hub
    stream("a million pictures")        any such folder or data set, when it is larger than memory

The first four return `Faces`, which holds every picture in memory, the last one `Streamed`, which
reads each one from the disk when it is asked for. Both give batches by `tensor(indices)`. `find`
takes any of them by its name; `Captioned` adds captions, other ones in every epoch.

The course's own faces are a DiceBear style definition (`data/anime-face.json`): parts with variants
and colours that are drawn by chance, then painted by resvg. What was drawn is known exactly, so
every attribute and caption is true.

Nothing here imports PyTorch before a tensor is made: the processes that draw do without it.
"""

from course_lib.captions import captions
from course_lib.faces.captioned import Captioned, fits, held_apart, without_apart
from course_lib.faces.checks import FacesError, attribute_values
from course_lib.faces.collected import from_folder, from_hub
from course_lib.faces.drawing import render
from course_lib.faces.finding import find
from course_lib.faces.streamed import Streamed, stream
from course_lib.faces.table import Faces, load, read
