"""What test_processes.py runs in two processes: `torchrun --nproc_per_node 2 … FOLDER`.

Also the same in one process with the doubled batch, in which it replays the noise of the two. It is
the real `dcgan.adversarial_step` in the real `training.fit`; only BatchNorm is left out of G, since
it looks at a process's own images.
"""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from course_lib import dcgan, training
from course_lib.faces import Faces

STEPS, BATCH = 6, 4  # of each process
FACES = Faces(np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8))
RECIPE = replace(dcgan.R1, batch_size=BATCH)


def without_batchnorm(network: nn.Module) -> nn.Module:
    for i, layer in enumerate(network.main):
        if isinstance(layer, nn.BatchNorm2d):
            network.main[i] = nn.Identity()
    return network


def adversarial(batch_size: int, replayed: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """A few steps; returns losses, weights, the average, and the noise that G was given."""
    accelerator = training.make_accelerator("no")
    torch.manual_seed(1)
    G = without_batchnorm(dcgan.Generator(width=4, image_size=32))
    D = dcgan.Discriminator(4, image_size=32, normalization="none", sigmoid=False)
    G.apply(dcgan.initialise_weights)
    D.apply(dcgan.initialise_weights)
    average = training.EMA(G, 0.9)
    noises: list[torch.Tensor] = []

    def replay(_network: nn.Module, given: tuple) -> tuple | None:
        noises.append(given[0].clone() if replayed is None else replayed[len(noises)])
        return None if replayed is None else (noises[-1],)

    G.register_forward_pre_hook(replay)
    optimisers = [torch.optim.Adam(net.parameters(), 1e-3, (0.0, 0.99)) for net in (G, D)]
    parts = accelerator.prepare(G, D, *optimisers)
    lottery = torch.Generator().manual_seed(3)
    step = partial(  # so that a few steps have some with the penalty and some without
        dcgan.adversarial_step, *parts, loss="bce", penalty=10, penalty_share=0.5, lottery=lottery
    )
    history = training.fit(
        step,
        FACES,
        steps=STEPS,
        batch_size=batch_size,
        flip=True,
        keep={"average": average, "optimiser": parts[2]},
        accelerator=accelerator,
        progress=False,
    )
    found = {f"loss {name}": torch.tensor(values) for name, values in history.losses.items()}
    for name, network in {"G": G, "D": D, "average": average.network}.items():
        found |= {f"{name} {key}": value for key, value in network.state_dict().items()}
    return found | {"noise": torch.stack(noises)}


def whole(images: int, folder: Path | None = None) -> dict[str, torch.Tensor]:
    """`dcgan.train`, with all that belongs to it."""
    trained = dcgan.train(
        FACES, RECIPE, images=images, width=4, image_size=32, progress=False, folder=folder
    )
    losses = {f"loss {name}": torch.tensor(v) for name, v in trained.history.losses.items()}
    return losses | {f"G {key}": value for key, value in trained.generator.state_dict().items()}


def main() -> None:
    folder = Path(sys.argv[1])
    rank = training.make_accelerator("no").process_index

    def keep(name: str, found: dict[str, torch.Tensor]) -> None:
        save_file({k: v.contiguous() for k, v in found.items()}, folder / f"{name}-{rank}")

    if sys.argv[2] == "one":
        parts = [load_file(folder / f"two-{process}")["noise"] for process in (0, 1)]
        keep("one", adversarial(2 * BATCH, torch.cat(parts, dim=1)))
        keep("half", adversarial(BATCH, parts[0]))  # what a process would learn without the other
        return
    keep("two", adversarial(BATCH))
    keep("whole", whole(12 * BATCH))
    whole(6 * BATCH, folder / "run")
    keep("resumed", whole(12 * BATCH, folder / "run"))
    own = folder / "apart" / str(rank)  # as if each were on a disk of its own
    whole(6 * BATCH, own)
    try:
        whole(12 * BATCH, own)
    except training.CheckpointError as error:
        (folder / f"refused-{rank}.txt").write_text(str(error))
    training.leave(training.make_accelerator("no"))


if __name__ == "__main__":
    main()
