"""metrics: the ruler sees what the eye sees, and says where it is blind."""

import numpy as np
import pytest
import torch
from torch import nn
from torch_fidelity import calculate_metrics, register_feature_extractor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.metric_fid import fid_features_to_statistics

from course_lib import dcgan, faces, metrics, pretrained
from course_lib.metrics import LADDER, MetricsError, Ruler

N = 600
DISTANCES = ["frechet/convolution", "frechet/pixels", "kernel/convolution", "kernel/pixels"]


@pytest.fixture(scope="module")
def train():
    return faces.load("train")


@pytest.fixture(scope="module")
def ruler(train):
    return Ruler(train, faces.load("held-out"))


@pytest.fixture(scope="module")
def ladder(train, ruler):
    """Fault → the values of its three rungs."""
    return {
        name: [ruler.values(metrics.spoil(train, name, strength)) for strength in fault.strengths]
        for name, fault in LADDER.items()
    }


@pytest.fixture(scope="module")
def chance(ruler):
    """Number → what real faces score: the lowest and the highest, and as much again around."""
    ranges = {}
    for name in [*DISTANCES, "precision", "recall"]:
        scores = [score[name] for score in ruler._real]
        reach = max(scores) - min(scores)
        ranges[name] = (min(scores) - reach / 2, max(scores) + reach / 2)
    return ranges


@pytest.fixture(scope="module")
def small():
    """A small ruler for whatever does not need real faces."""
    draw = torch.Generator().manual_seed(0)
    pictures = torch.rand(200, 3, 16, 16, generator=draw) * 2 - 1
    return Ruler(pictures[:150], pictures[150:])


def rungs(ladder, fault, name):
    return [values[name] for values in ladder[fault]]


# The numbers are what they are called


def test_frechet_distance_of_two_gaussians_is_the_closed_form():
    # For independent features: sum of (m1 - m2)² + (s1 - s2)², here 2² + 0 and 0 + (3 - 1)².
    draw = torch.Generator().manual_seed(0)
    normal = torch.randn(200_000, 2, generator=draw, dtype=torch.float64)
    one = fid_features_to_statistics(normal[:100_000])
    other = fid_features_to_statistics(
        normal[100_000:] * torch.tensor([1, 3]) + torch.tensor([2, 0])
    )
    assert metrics._frechet(one, other) == pytest.approx(8, rel=0.02)


def test_kernel_distance_is_the_unbiased_mean_of_the_cubic_kernel():
    draw = torch.Generator().manual_seed(0)
    one = torch.randn(40, 5, generator=draw, dtype=torch.float64)
    other = torch.randn(40, 5, generator=draw, dtype=torch.float64) + 0.5

    def mean_kernel(a, b, without_diagonal):
        kernel = (a @ b.T / 5 + 1) ** 3
        if without_diagonal:
            return (kernel.sum() - kernel.trace()) / (40 * 39)
        return kernel.mean()

    expected = mean_kernel(one, one, True) + mean_kernel(other, other, True)
    expected -= 2 * mean_kernel(one, other, False)
    assert metrics._kernel(one, other) == pytest.approx(expected.item())


def test_values_are_those_of_torch_fidelity_from_end_to_end(small):
    """The whole of torch-fidelity, with our features, says the same as the ruler."""

    class Extractor(FeatureExtractorBase):
        def __init__(self, name, features_list, **_):
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list():
            return ("pixels",)

        @staticmethod
        def get_default_feature_layer_for_metric(_):
            return "pixels"

        def forward(self, images):
            raw = small._raw_features(images.float() / 127.5 - 1)
            return (small._in_units(raw)["pixels"],)

    class Pictures(torch.utils.data.Dataset):
        def __init__(self, seed):
            draw = np.random.default_rng(seed)
            pixels = draw.integers(0, 256, (50, 3, 16, 16), dtype=np.uint8)
            self.pictures = torch.from_numpy(pixels)

        def __len__(self):
            return 50

        def __getitem__(self, i):
            return self.pictures[i]

    register_feature_extractor("course-pixels", Extractor)
    painted, real = Pictures(1), Pictures(2)
    expected = calculate_metrics(
        input1=painted,
        input2=real,
        feature_extractor="course-pixels",
        fid=True,
        kid=True,
        prc=True,
        kid_subsets=1,
        kid_subset_size=50,
        cuda=False,
        cache=False,
        verbose=False,
    )
    small_pixels = Ruler(
        torch.cat([real.pictures] * 2) / 127.5 - 1,
        real.pictures / 127.5 - 1,
        spaces={"pixels": metrics.pixels},
    )
    small_pixels._units = small._units  # the same units on both sides
    small_pixels._held_out = small_pixels._features(real.pictures / 127.5 - 1)
    small_pixels._statistics = {
        "pixels": fid_features_to_statistics(small_pixels._held_out["pixels"])
    }
    found = small_pixels._scores(small_pixels._features(painted.pictures / 127.5 - 1))
    assert found["frechet/pixels"] == pytest.approx(
        expected["frechet_inception_distance"], rel=1e-6
    )
    assert found["kernel/pixels"] == pytest.approx(
        expected["kernel_inception_distance_mean"], rel=1e-6
    )
    assert found["precision"] == pytest.approx(expected["precision"])
    assert found["recall"] == pytest.approx(expected["recall"])


def test_precision_is_of_the_pictures_and_recall_of_the_real_ones(train, ruler):
    # The same 10 faces again and again are all real, and miss most real faces.
    values = ruler.values(metrics.spoil(train, "duplicates", 60))
    assert values["precision"] > 0.6
    assert values["recall"] == 0


def test_filters_are_the_same_everywhere():
    first = metrics._filters()[1]
    assert first.shape == (24, 16, 4, 4)
    rows = first.flatten(1)
    torch.testing.assert_close(rows @ rows.T, 2 / 1.04 * torch.eye(24), atol=1e-4, rtol=0)
    assert metrics._filters()[0].sum(dim=(2, 3)).abs().max() < 1e-5
    images = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)
    assert metrics.convolution(images).shape == (1, 144)
    assert metrics.convolution(images)[0, -1].item() == pytest.approx(0.02322, abs=1e-4)


# The floor


def test_real_faces_score_one_floor(ruler):
    scores = [score["frechet/convolution"] for score in ruler._real]
    assert len(scores) == 9
    assert np.mean(scores) == pytest.approx(1)
    assert np.std(scores) < 0.1
    assert all(abs(score["kernel/pixels"]) < 3 for score in ruler._real)
    assert 0.75 < np.mean([score["precision"] for score in ruler._real]) < 0.9


@pytest.mark.slow
def test_fresh_drawings_are_as_good_as_bundled_ones(ruler, chance):
    fresh = faces.render(N, seed=77, cache=False)
    for name, value in ruler.values(fresh).items():
        low, high = chance[name]
        assert low < value < high, name


# The distortion ladder

# What each number sees from the first rung on, rising (falling for precision and recall).
SEES = {
    "frechet/convolution": ["noise", "blur", "mean", "duplicates", "shuffled", "mixed"],
    "frechet/pixels": ["mean", "duplicates", "shuffled", "mixed", "swapped"],
    "kernel/convolution": ["noise", "blur", "mean", "shuffled", "mixed"],
    "kernel/pixels": ["mean", "shuffled", "mixed", "swapped"],
    "precision": ["noise", "blur", "shuffled"],
    "recall": ["noise", "blur", "mean", "shuffled", "mixed"],
}
# What it sees at the last rung only, or not in order.
SEES_LATE = {
    "frechet/convolution": ["missing", "swapped"],
    "frechet/pixels": ["noise", "blur", "missing"],
    "kernel/convolution": ["duplicates", "missing", "swapped"],
    "kernel/pixels": ["duplicates", "missing"],
    "precision": ["mean", "mixed", "swapped"],
    "recall": ["duplicates", "missing", "swapped"],
}
BLIND = {"precision": ["duplicates", "missing"], "kernel/pixels": ["noise", "blur"]}


@pytest.mark.parametrize(("name", "fault"), [(n, f) for n, known in SEES.items() for f in known])
def test_worse_pictures_score_worse_at_every_rung(ladder, chance, name, fault):
    scores = rungs(ladder, fault, name)
    low, high = chance[name]
    if name in ("precision", "recall"):
        assert low > scores[0] >= scores[1] >= scores[2]
    else:
        assert high < scores[0] < scores[1] < scores[2]


@pytest.mark.parametrize(
    ("name", "fault"), [(n, f) for n, known in SEES_LATE.items() for f in known]
)
def test_the_worst_pictures_are_seen(ladder, chance, name, fault):
    low, high = chance[name]
    worst = rungs(ladder, fault, name)[-1]
    assert worst < low if name in ("precision", "recall") else worst > high


@pytest.mark.parametrize(("name", "fault"), [(n, f) for n, known in BLIND.items() for f in known])
def test_what_a_number_cannot_see(ladder, chance, name, fault):
    low, high = chance[name]
    scores = rungs(ladder, fault, name)
    assert all(score > low if name == "precision" else score < high for score in scores)


def test_every_number_has_a_place_for_every_fault(chance):
    """A new number, or a new fault, wants its line in SEES, SEES_LATE or BLIND."""
    assert sorted(SEES) == sorted(SEES_LATE) == sorted(chance)
    for name in SEES:
        known = SEES[name] + SEES_LATE[name] + BLIND.get(name, [])
        assert sorted(known) == sorted(LADDER), name


def test_the_blind_spots_that_the_readme_tells(ladder, chance):
    """The blind spots that matter most: what cannot be told from real faces there."""

    def hidden(name, fault, rung=0):
        low, high = chance[name]
        return low < rungs(ladder, fault, name)[rung] < high

    for fault in ("noise", "blur"):
        assert hidden("frechet/pixels", fault)
        assert hidden("kernel/pixels", fault)
    for name in [*DISTANCES, "precision", "recall"]:
        assert hidden(name, "missing")  # 3 of 12 hair colours missing: nothing sees it
    assert hidden("kernel/convolution", "duplicates")
    assert hidden("frechet/convolution", "swapped")
    assert hidden("recall", "swapped")


# Real generators


def test_generators_rank_as_the_eye_ranks_them(ruler):
    best, good, better, bad = (
        ruler.values(metrics.painter(pretrained.load(name, network))(N, 7))
        for name, network in (
            ("faces-styled", dcgan.StyledGenerator),
            *((f"faces-{name}", dcgan.Generator) for name in ("dcgan", "better", "article")),
        )
    )
    for name in ("frechet/convolution", "frechet/pixels"):
        assert 1 < best[name] < good[name] < better[name] * 1.2 < bad[name] / 3, name
    for name in ("precision", "recall"):
        assert good[name] > 0.5 > 0.2 > bad[name], name


# Measuring


def test_interval_holds_what_other_pictures_score(train, ruler):
    def paint(n, seed):
        return metrics.spoil(train, "blur", 0.5, n, seed)

    measures = ruler.measure(paint, draws=3)
    assert list(measures) == [*DISTANCES, "precision", "recall"]
    m = measures["frechet/convolution"]
    other = ruler.values(paint(N, 11))["frechet/convolution"]
    assert m.low < other * 1.05
    assert m.high > other * 0.95
    assert m.value == pytest.approx(m.raw / ruler.floors["frechet/convolution"])
    assert (m.low + m.high) / 2 == pytest.approx(m.value)
    assert m.real == pytest.approx(1)
    assert "frechet/pixels" in str(measures)


def test_one_set_gets_an_interval_too(small):
    pictures = torch.rand(100, 3, 16, 16, generator=torch.Generator().manual_seed(5)) * 2 - 1
    one = small.measure(pictures[:50])["frechet/pixels"]
    two = small.measure(pictures)["frechet/pixels"]
    assert one.low < one.value < one.high
    assert two.low < two.value < two.high
    assert one.value == small.values(pictures[:50])["frechet/pixels"]


def test_equal_pictures_get_equal_numbers(small):
    pictures = torch.rand(50, 3, 16, 16, generator=torch.Generator().manual_seed(5)) * 2 - 1
    assert small.values(pictures) == small.values(pictures.clone())


def test_painter_depends_on_the_seed_alone():
    class Tiny(nn.Module):
        noise_size = 7

        def __init__(self):
            super().__init__()
            self.layer = nn.Sequential(nn.Linear(7, 3 * 16 * 16), nn.BatchNorm1d(768), nn.Tanh())

        def forward(self, noise):
            return self.layer(noise).reshape(-1, 3, 16, 16)

    generator = Tiny()
    paint = metrics.painter(generator)
    assert paint(130, 1).shape == (130, 3, 16, 16)
    assert torch.equal(paint(130, 1), paint(130, 1))
    assert not torch.equal(paint(130, 1), paint(130, 2))
    assert generator.training


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (torch.zeros(10, 3, 16, 16), "10 pictures are too few"),
        (torch.zeros(50, 3, 32, 32), "like the real ones"),
        (torch.zeros(50, 1, 16, 16), "like the real ones"),
        (torch.full((50, 3, 16, 16), 1.5), r"\[-1, 1\]"),
        (torch.full((50, 3, 16, 16), float("nan")), "NaN"),
        (torch.full((50, 3, 16, 16), float("inf")), "infinite"),
        (torch.zeros(50, 3, 16, 16, dtype=torch.uint8), "uint8"),
    ],
)
def test_errors_say_what_to_do(small, pictures, message):
    for measure in (small.measure, small.values):
        with pytest.raises(MetricsError, match=message):
            measure(pictures)


def test_other_errors(small):
    with pytest.raises(MetricsError, match="held-out pictures are too few"):
        Ruler(torch.zeros(100, 3, 16, 16), torch.zeros(10, 3, 16, 16))
    with pytest.raises(MetricsError, match="floor needs twice"):
        Ruler(torch.zeros(50, 3, 16, 16), torch.zeros(40, 3, 16, 16))
    with pytest.raises(MetricsError, match="asked for"):
        small.measure(lambda n, seed: torch.zeros(n - 1, 3, 16, 16))
    with pytest.warns(UserWarning, match="mid-grey"):
        small.values(torch.rand(50, 3, 16, 16, generator=torch.Generator().manual_seed(1)))
