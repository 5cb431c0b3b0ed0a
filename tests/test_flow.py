"""Our few lines of diffusion do what diffusers does."""

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler

from course_lib.errors import CourseError
from course_lib.latent_diffusion import flow


def velocity(places, time):
    """Of no training, but smooth, and it depends on both."""
    return torch.sin(3 * places) + time.view(-1, 1, 1, 1) * places.flip(1)


@pytest.fixture
def noise():
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))


def walked(scheduler, steps, noise):
    scheduler.set_timesteps(steps)
    places = noise
    for time, sigma in zip(scheduler.timesteps, scheduler.sigmas, strict=False):
        # The sigma is the time; some schedulers round the time that they tell to a thousandth.
        answer = velocity(places, sigma.expand(len(places)))
        places = scheduler.step(answer, time, places).prev_sample
    return places


def test_noise_is_added_as_diffusers_does(noise):
    data = torch.rand_like(noise)
    scheduler = FlowMatchEulerDiscreteScheduler()
    time = scheduler.timesteps[[100, 700]]
    theirs = scheduler.scale_noise(data, time, noise)
    torch.testing.assert_close(flow.add_noise(data, noise, time / 1000), theirs)


def test_from_any_place_the_way_leads_to_the_data(noise):
    data, time = torch.rand_like(noise), torch.tensor([0.2, 0.9])
    place = flow.add_noise(data, noise, time)
    found = flow.data_at_end(place, flow.direction(data, noise), time)
    torch.testing.assert_close(found, data)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_euler_is_diffusers(steps, noise):
    scheduler = FlowMatchEulerDiscreteScheduler()
    theirs = walked(scheduler, steps, noise)
    torch.testing.assert_close(flow.euler(velocity, noise, scheduler.sigmas)[-1], theirs)


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 20])
def test_two_step_is_diffusers(steps, noise):
    scheduler = DPMSolverMultistepScheduler(
        use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=1.0
    )
    theirs = walked(scheduler, steps, noise)
    ours = flow.two_step(velocity, noise, scheduler.sigmas)[-1]
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_what_cannot_be_is_refused(noise):
    with pytest.raises(CourseError, match="choose 1 or more"):
        flow.times_of(0)
    with pytest.raises(CourseError, match="choose 0 or more"):
        flow.guided(noise, noise, -1.0)
