"""A training small enough for a test; the fixture `few_faces` of conftest.py is its data."""

from functools import partial

import torch

from course_lib import dcgan, training


def small_networks(seed: int = 0, **of_discriminator):
    torch.manual_seed(seed)
    G = dcgan.Generator(width=4, image_size=32).apply(dcgan.initialise_weights)
    D = dcgan.Discriminator(width=4, image_size=32, **of_discriminator)
    return G, D.apply(dcgan.initialise_weights)


class Small:
    """A training small enough for a test: everything that `fit` needs, from one seed."""

    def __init__(self, rate: float = 1e-3):
        self.G, self.D = small_networks(normalization="spectral", sigmoid=False)
        self.average = training.EMA(self.G, 0.9)
        optimisers = [
            torch.optim.Adam(net.parameters(), rate, fused=True) for net in (self.G, self.D)
        ]
        self.step = partial(dcgan.adversarial_step, self.G, self.D, *optimisers)
        self.keep = {
            "generator": self.G,
            "discriminator": self.D,
            "generator_optimiser": optimisers[0],
            "discriminator_optimiser": optimisers[1],
            "average": self.average,
        }
        self.noise = torch.randn(4, dcgan.NOISE_SIZE)

    def fit(self, data, steps, **options):
        return training.fit(
            options.pop("step", self.step),
            data,
            steps=steps,
            **{"batch_size": 8, "keep": self.keep, "progress": False, "flip": True} | options,
        )

    def pictures(self):
        return dcgan.paint(self.average.network, self.noise)
