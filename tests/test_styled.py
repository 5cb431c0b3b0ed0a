"""The styled networks: even stamps, a style that every layer hears, a mirror for D."""

import pytest
import torch

from course_lib import dcgan, faces
from course_lib.errors import CourseError


@pytest.mark.parametrize("size", [32, 64, 128])
def test_noise_becomes_pictures_and_pictures_scores(size):
    G = dcgan.StyledGenerator(10, 8, 1, size)
    D = dcgan.ComparingDiscriminator(8, 1, size)
    pictures = G(torch.randn(3, 10))
    assert pictures.shape == (3, 1, size, size)
    assert pictures.abs().max() <= 1
    assert D(pictures).shape == (3,)


def test_noise_may_have_the_articles_shape():
    G = dcgan.StyledGenerator(width=4).eval()
    noise = torch.randn(2, 100)
    assert torch.equal(G(noise), G(noise[:, :, None, None]))


def test_a_plain_area_stays_plain_which_the_articles_stamps_do_not_do():
    torch.manual_seed(0)
    plain = torch.ones(1, 16, 8, 8)
    even = dcgan.StyledGenerator(width=4).enlarge[1](plain)
    article = dcgan.Generator(width=4).main[3](torch.ones(1, 32, 8, 8))
    assert even.shape == (1, 8, 16, 16)
    inside = (slice(None), slice(None), slice(3, -3), slice(3, -3))
    assert even[inside].std((2, 3)).max() < 1e-6
    assert even[inside].abs().max() > 1e-3
    assert article[inside].std((2, 3)).min() > 1e-3


def test_every_layer_hears_the_style():
    G = dcgan.StyledGenerator(width=4).eval()
    for styled in G.styled:
        x = torch.randn(1, styled.norm.num_features, 4, 4)
        assert not torch.allclose(styled(x, torch.zeros(1, 128)), styled(x, torch.ones(1, 128)))


def test_the_last_layer_looks_at_one_pixel():
    G = dcgan.StyledGenerator(width=4)
    x = torch.randn(1, 2, 6, 6, requires_grad=True)
    G.colour(x)[0, :, 2, 3].sum().backward()
    assert x.grad.abs().sum((0, 1)).nonzero().tolist() == [[2, 3]]


def test_the_discriminator_sees_a_place_and_its_mirror_image_together():
    D, images = dcgan.ComparingDiscriminator(4), torch.rand(1, 3, 64, 64, requires_grad=True)
    near = D.near(images)
    first = D.far[0](torch.cat([near, near.flip(3)], 1))  # (1, 16, 8, 8)
    first[0, :, 4, 1].sum().backward()
    columns = images.grad.abs().sum((0, 1, 2)).nonzero().flatten().tolist()
    left = [column for column in columns if column < 32]
    right = [column for column in columns if column >= 32]
    assert 12 in left  # its own place
    assert 63 - 12 in right  # and the mirror image's
    assert sorted(63 - column for column in right) == left


@pytest.mark.parametrize(
    ("network", "width", "size", "says"),
    [
        (dcgan.StyledGenerator, 1, 64, "choose 2 or more feature maps"),
        (dcgan.StyledGenerator, 4, 48, "choose one of 32, 64, 128"),
        (dcgan.ComparingDiscriminator, 0, 64, "choose 1 or more feature maps"),
    ],
)
def test_what_cannot_be_built_is_said(network, width, size, says):
    with pytest.raises(CourseError, match=says):
        network(width=width, image_size=size)


def test_wrong_pictures_and_noise_are_said():
    with pytest.raises(CourseError, match=r"an image is \(3, 64, 64\) here"):
        dcgan.ComparingDiscriminator(4)(torch.zeros(2, 3, 32, 32))
    with pytest.raises(CourseError, match=r"noise is \(B, 100\)"):
        dcgan.StyledGenerator(width=4)(torch.zeros(2, 99))


def test_the_articles_recipe_does_not_fit_them():
    with pytest.raises(CourseError, match=r"choose a recipe such as dcgan\.R1"):
        dcgan.networks(dcgan.TUTORIAL, 4, 64, 0, styled=True)


def test_they_are_trained_like_the_articles():
    data = faces.load("train")[:64]
    trained = dcgan.train(data, images=128, width=4, styled=True, pictures_every=2)
    assert isinstance(trained.generator, dcgan.StyledGenerator)
    assert trained.history.snapshots[-1].pictures.shape[1:] == (64, 64, 3)
    first, _ = dcgan.networks(dcgan.R1, 4, 64, 0, styled=True)
    assert not torch.equal(first.colour.weight, trained.generator.colour.weight.cpu())
