"""Diffusion in the plane."""

import torch

from course_lib import toy
from course_lib.latent_diffusion import PlaneFlow


def test_it_learns_the_ring_and_finds_all_blobs():
    for target, most in (("ring", 0.15), ("three blobs", 0.15)):
        painter = PlaneFlow(target, seed=0).step(800)
        noise = torch.randn(1000, 2, generator=torch.Generator().manual_seed(1))
        ends = painter.walk(noise)[-1]
        real = painter.target(1000, torch.Generator().manual_seed(2))
        assert toy.distance(ends, real) < most
        near = torch.cdist(real, ends) < 0.2
        assert near.any(1).float().mean() > 0.95  # nothing is left out


def test_the_same_seed_is_the_same_training():
    one, two, other = (PlaneFlow(seed=seed).step(3).losses for seed in (1, 1, 2))
    assert one == two
    assert one != other


def test_with_one_step_all_end_near_the_middle():
    painter = PlaneFlow("ring", seed=0).step(800)
    ends = painter.walk(steps=1)[-1]
    assert ends.norm(dim=1).mean() < 0.4
    places, arrows = painter.arrows(1.0, lines=5)
    assert places.shape == arrows.shape == (25, 2)


def test_points_learn_on_one_thread_and_give_the_others_back():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = []

        def target(n, rng):
            seen.append(torch.get_num_threads())
            return toy.ring(n, rng)

        game, painter = toy.ToyGAN(target), PlaneFlow(target)
        seen.clear()
        game.step(2)
        painter.step(2)
        assert seen == [1, 1, 1, 1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
