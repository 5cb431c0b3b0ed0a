"""The two networks are the article's, at any width, at 32, 64 and 128 pixels."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from course_lib import dcgan, faces

SIZES = (32, 64, 128)

# The article's listings (the official PyTorch DCGAN tutorial's), written out by hand.
ARTICLE_GENERATOR = {
    "main.0.weight": (100, 512, 4, 4),
    "main.1": 512,
    "main.3.weight": (512, 256, 4, 4),
    "main.4": 256,
    "main.6.weight": (256, 128, 4, 4),
    "main.7": 128,
    "main.9.weight": (128, 64, 4, 4),
    "main.10": 64,
    "main.12.weight": (64, 3, 4, 4),
}
ARTICLE_DISCRIMINATOR = {
    "main.0.weight": (64, 3, 4, 4),
    "main.2.weight": (128, 64, 4, 4),
    "main.3": 128,
    "main.5.weight": (256, 128, 4, 4),
    "main.6": 256,
    "main.8.weight": (512, 256, 4, 4),
    "main.9": 512,
    "main.11.weight": (1, 512, 4, 4),
}


def article_generator() -> nn.Sequential:
    """The tutorial's generator, layer by layer: nz 100, ngf 64, nc 3."""
    return nn.Sequential(
        nn.ConvTranspose2d(100, 512, 4, 1, 0, bias=False),
        nn.BatchNorm2d(512),
        nn.ReLU(True),
        nn.ConvTranspose2d(512, 256, 4, 2, 1, bias=False),
        nn.BatchNorm2d(256),
        nn.ReLU(True),
        nn.ConvTranspose2d(256, 128, 4, 2, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(True),
        nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(True),
        nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    )


def article_discriminator() -> nn.Sequential:
    """The tutorial's discriminator, layer by layer: ndf 64, nc 3."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(64, 128, 4, 2, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(128, 256, 4, 2, 1, bias=False),
        nn.BatchNorm2d(256),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(256, 512, 4, 2, 1, bias=False),
        nn.BatchNorm2d(512),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(512, 1, 4, 1, 0, bias=False),
        nn.Sigmoid(),
    )


def article_weights_init(module: nn.Module) -> None:
    """The tutorial's `weights_init`, which goes by the names of the classes."""
    name = module.__class__.__name__
    if name.find("Conv") != -1:
        nn.init.normal_(module.weight.data, 0.0, 0.02)
    elif name.find("BatchNorm") != -1:
        nn.init.normal_(module.weight.data, 1.0, 0.02)
        nn.init.constant_(module.bias.data, 0)


def shapes(listing: dict) -> dict[str, tuple[int, ...]]:
    """The listing with every BatchNorm's five tensors written out."""
    whole = {}
    for name, shape in listing.items():
        if isinstance(shape, int):
            for part in ("weight", "bias", "running_mean", "running_var"):
                whole[f"{name}.{part}"] = (shape,)
            whole[f"{name}.num_batches_tracked"] = ()
        else:
            whole[name] = shape
    return whole


@pytest.mark.parametrize(
    ("network", "listing", "parameters"),
    [
        (dcgan.Generator, ARTICLE_GENERATOR, 3_576_704),
        (dcgan.Discriminator, ARTICLE_DISCRIMINATOR, 2_765_568),
    ],
)
def test_weights_are_the_articles_by_name_and_shape(network, listing, parameters):
    network = network()
    state = {name: tuple(weight.shape) for name, weight in network.state_dict().items()}
    assert list(state.items()) == list(shapes(listing).items())
    assert dcgan.count_parameters(network) == parameters


@pytest.mark.parametrize(
    ("network", "article", "x"),
    [
        (dcgan.Generator, article_generator, torch.Size([4, 100, 1, 1])),
        (dcgan.Discriminator, article_discriminator, torch.Size([4, 3, 64, 64])),
    ],
)
def test_same_seed_same_weights_same_answer_as_the_article(network, article, x):
    torch.manual_seed(1)
    ours = network().apply(dcgan.initialise_weights)
    torch.manual_seed(1)
    theirs = article().apply(article_weights_init)
    assert all(
        torch.equal(a, b)
        for a, b in zip(ours.main.state_dict().values(), theirs.state_dict().values(), strict=True)
    )
    x = torch.randn(x)
    torch.testing.assert_close(ours(x), theirs(x).view(ours(x).shape), rtol=0, atol=0)


@pytest.mark.parametrize("image_size", SIZES)
@pytest.mark.parametrize("width", [4, 7])
def test_every_size_and_width(image_size, width):
    generator = dcgan.Generator(10, width, 1, image_size)
    discriminator = dcgan.Discriminator(width, 1, image_size)
    images = generator(torch.randn(2, 10))
    assert images.shape == (2, 1, image_size, image_size)
    assert images.abs().max() <= 1
    scores = discriminator(images)
    assert scores.shape == (2,)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_noise_with_and_without_its_two_ones():
    generator = dcgan.Generator(width=4).eval()
    noise = torch.randn(3, 100)
    assert torch.equal(generator(noise), generator(noise.reshape(3, 100, 1, 1)))


@pytest.mark.parametrize("network", [dcgan.Generator, dcgan.Discriminator])
@pytest.mark.parametrize("size", [0, 48, 100, 256, "64"])
def test_impossible_size_names_the_possible_ones(network, size):
    with pytest.raises(ValueError, match="choose one of 32, 64, 128"):
        network(image_size=size)


def test_unknown_normalization_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'batch', 'spectral', 'none'.*not 'layer'"):
        dcgan.Discriminator(normalization="layer")


@pytest.mark.parametrize("shape", [(2, 99), (2, 100, 1), (2, 100, 2, 2), (100,)])
def test_wrong_noise_says_what_is_wanted(shape):
    with pytest.raises(ValueError, match=r"noise is \(B, 100\) or \(B, 100, 1, 1\), not"):
        dcgan.Generator(width=4)(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (2, 1, 64, 64), (3, 64, 64)])
def test_wrong_images_say_what_is_wanted(shape):
    with pytest.raises(ValueError, match=r"an image is \(3, 64, 64\) here, not"):
        dcgan.Discriminator(width=4)(torch.zeros(shape))


# --- What the discriminator can be made of -----------------------------------------------------


def kinds(network: nn.Module) -> set[type]:
    return {type(layer) for layer in network.main}


def test_discriminator_without_normalization_has_biases():
    plain = dcgan.Discriminator(4, normalization="none")
    assert nn.BatchNorm2d not in kinds(plain)
    assert all(layer.bias is not None for layer in plain.main if isinstance(layer, nn.Conv2d))


def test_spectral_norm_bounds_every_convolution():
    discriminator = dcgan.Discriminator(4, normalization="spectral").apply(dcgan.initialise_weights)
    images = torch.randn(2, 3, 64, 64)
    for _ in range(30):  # each forward pass in training improves the estimate of the norm
        discriminator(images)
    for layer in discriminator.eval().main:
        if hasattr(layer, "kernel_size"):
            largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
            assert largest.item() == pytest.approx(1, abs=0.1)


def test_spectral_discriminator_goes_through_a_state_dict():
    torch.manual_seed(0)
    first = dcgan.Discriminator(4, normalization="spectral").apply(dcgan.initialise_weights).eval()
    second = dcgan.Discriminator(4, normalization="spectral").eval()
    second.load_state_dict(first.state_dict())
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(first(images), second(images))


def test_without_sigmoid_the_score_is_the_logit():
    torch.manual_seed(0)
    sure = dcgan.Discriminator(4).eval()
    torch.manual_seed(0)
    open_ended = dcgan.Discriminator(4, sigmoid=False).eval()
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(open_ended(images).sigmoid(), sure(images))


@pytest.mark.parametrize("leak", [0.0, 0.2])
def test_leak_is_the_slope_below_zero(leak):
    layers = [m for m in dcgan.Discriminator(4, leak=leak).main if isinstance(m, nn.LeakyReLU)]
    assert len(layers) == 4
    torch.testing.assert_close(layers[0](torch.tensor([-1.0, 2.0])), torch.tensor([-leak, 2.0]))


def test_a_recipe_decides_how_leaky_the_discriminator_is():
    for leak in (0.0, 0.2):
        _, D = dcgan.networks(replace(dcgan.R1, leak=leak), 8, 64, 0)
        slopes = {layer.negative_slope for layer in D.modules() if isinstance(layer, nn.LeakyReLU)}
        assert slopes == {leak}


def test_first_biases_are_zero():
    plain = dcgan.Discriminator(4, normalization="none").apply(dcgan.initialise_weights)
    assert all((layer.bias == 0).all() for layer in plain.main if isinstance(layer, nn.Conv2d))


# --- Looking inside ----------------------------------------------------------------------------


def test_trace_is_a_table_of_layers():
    trace = dcgan.trace_shapes(dcgan.Generator(), torch.randn(2, 100))
    assert trace[0] == ("ConvTranspose2d", (2, 512, 4, 4), 819_200)
    assert trace[-1] == ("Tanh", (2, 3, 64, 64), 0)
    assert len(trace) == 14
    table = str(trace).splitlines()
    assert table[0].split() == ["layer", "output", "parameters"]
    assert table[1] == "ConvTranspose2d    2 × 512 × 4 × 4     819,200"
    assert table[-1].split() == ["all", "3,576,704"]


def test_spectral_convolution_is_one_line_of_the_trace():
    discriminator = dcgan.Discriminator(4, normalization="spectral")
    trace = dcgan.trace_shapes(discriminator, torch.randn(2, 3, 64, 64))
    assert [layer.name for layer in trace] == ["Conv2d", "LeakyReLU"] * 4 + ["Conv2d", "Sigmoid"]
    assert sum(layer.parameters for layer in trace) == dcgan.count_parameters(discriminator)


def test_operations_are_two_for_each_weight_and_pixel():
    # A weight of a transposed convolution is used once on every input pixel, one of an ordinary
    # convolution once for every output pixel.
    by_hand = 2 * 16 * (100 * 512 + 512 * 256 * 4**2 + 256 * 128 * 8**2 + 128 * 64 * 16**2)
    by_hand += 2 * 16 * 64 * 3 * 32**2
    assert dcgan.count_flops(dcgan.Generator(), torch.randn(2, 100)) == 2 * by_hand
    by_hand = 2 * 16 * (3 * 64 * 32**2 + 64 * 128 * 16**2 + 128 * 256 * 8**2 + 256 * 512 * 4**2)
    by_hand += 2 * 16 * 512
    assert dcgan.count_flops(dcgan.Discriminator(), torch.randn(1, 3, 64, 64)) == by_hand


def test_frozen_parameters_do_not_count():
    generator = dcgan.Generator(width=4)
    generator.main[0].requires_grad_(False)
    assert dcgan.count_parameters(generator) == sum(
        p.numel() for p in generator.main[1:].parameters()
    )


@pytest.mark.parametrize("look", [dcgan.trace_shapes, dcgan.count_flops])
def test_looking_changes_nothing(look):
    generator = dcgan.Generator(width=4)
    generator.main[1].eval()  # a mixture of modes
    before = copy.deepcopy(generator.state_dict())
    modes = [module.training for module in generator.modules()]
    look(generator, torch.randn(2, 100))
    assert all(torch.equal(a, before[name]) for name, a in generator.state_dict().items())
    assert [module.training for module in generator.modules()] == modes
    assert not any(module._forward_hooks for module in generator.modules())
    with pytest.raises(ValueError, match="noise is"):
        look(generator, torch.randn(2, 99))
    assert [module.training for module in generator.modules()] == modes
    assert not any(module._forward_hooks for module in generator.modules())


def test_pictures_of_another_size_are_refused_before_training():
    small = faces.render(4, size=48)
    with pytest.raises(ValueError, match="pictures are 48×48, the networks 64×64: load them"):
        dcgan.train(small, images=64)
