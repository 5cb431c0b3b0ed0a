"""Where in a face the words decide: what a loss should not overlook."""

import numpy as np
import torch
from torch import Tensor

from course_lib import captions, faces
from course_lib.faces import checks


def decided_by(values: Tensor, known: faces.Faces, attribute: str) -> Tensor:
    """What an attribute decides at each place, as a variance: (H, W), a mean over the channels.

    values: latents or pixels (N, C, H, W), one for each of `known`. It is the variance *between*
    the attribute's values: of the mean face with red eyes, with blue eyes and so on around the mean
    of all. Faces where it cannot be seen (the colour of closed eyes) are left out.
    """
    is_ = np.array([seen[attribute] for seen in known.attributes])
    visible = is_ != captions.HIDDEN
    middle = values[torch.from_numpy(visible)].float().mean(0)
    between = torch.zeros(values.shape[-2:])
    for value in np.unique(is_[visible]):
        rows = is_ == value
        mean = values[torch.from_numpy(rows)].float().mean(0)
        between += rows.sum() / visible.sum() * (mean - middle).square().mean(0)
    return between


def where_words_show(values: Tensor, known: faces.Faces) -> Tensor:
    """How much the words decide at each place, every attribute alike: (H, W), with a mean of 1.

    The mean over the attributes of what each decides, divided by its own mean; faces and their
    mirror images are taken as equally likely. In the latents of the course's faces the colour of
    the hair decides a fifth of all variance, that of the eyes a sixtieth; here both count the same.

    FacesError when attributes are unknown.
    """
    if known.attributes is None:
        raise checks.no_attributes(known.name)
    maps = [decided_by(values, known, attribute) for attribute in known.attributes[0]]
    shown = torch.stack([found / found.mean() for found in maps if found.any()]).mean(0)
    return (shown + shown.flip(-1)) / 2


def emphasised(shown: Tensor, share: float) -> Tensor:
    """Weights (H, W) of a mean square, with a mean of 1: `share` of it goes to where words show."""
    return 1 - share + share * shown
