"""The static figures: right pixels, nothing left behind, errors that say what to give instead."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from IPython.display import Markdown

from course_lib import dcgan, pixels, plots, settings
from course_lib.errors import CourseError


@pytest.fixture
def shown(monkeypatch) -> list:
    """Every figure that `plt.show()` would have shown, drawn."""
    figures = []

    def show() -> None:
        figure = plt.gcf()
        figure.canvas.draw()
        figures.append(figure)

    monkeypatch.setattr(plt, "show", show)
    yield figures
    plt.close("all")


def picture(figure) -> np.ndarray:
    """The figure as RGB values."""
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]


# --- Stored figures -----------------------------------------------------------------------------


def test_a_stored_figure_is_shown_as_it_lies_there(monkeypatch):
    seen = []
    monkeypatch.setattr(plots.figures, "display", seen.append)
    plots.show_stored("halves_gan")
    plots.show_stored("words_faces")
    path = settings.data_dir() / "figures" / "halves_gan.png"
    assert seen[0].data == path.read_bytes()
    assert seen[0].width == 1052
    assert seen[1].width == 2 * 526  # small ones are enlarged


def test_an_unknown_stored_figure_is_refused_by_name():
    with pytest.raises(CourseError, match=r"no stored figure 'halfs'; there are .*halves"):
        plots.show_stored("halfs")


# --- Ways from noise to data --------------------------------------------------------------------


def test_ways_have_a_panel_a_moment(shown):
    places = [torch.randn(20, 2) for _ in range(3)]
    arrows = [(torch.randn(5, 2), torch.randn(5, 2))] * 3
    plots.show_way(places, [1.0, 0.5, 0.0], real=torch.randn(9, 2), arrows=arrows)
    panels = shown[0].axes
    assert [panel.get_title() for panel in panels] == ["t = 1.00", "t = 0.50", "t = 0.00"]
    drawn = panels[1].collections[-1].get_offsets()
    assert np.allclose(drawn, places[1])


def test_roads_have_a_line_a_point(shown):
    plots.show_roads([torch.randn(20, 2) for _ in range(4)], torch.randn(9, 2), "ways")
    (axes,) = shown[0].axes
    assert len(axes.lines) == 20
    assert all(len(line.get_xdata()) == 4 for line in axes.lines)


# --- Trainings beside each other ----------------------------------------------------------------


def test_trainings_have_a_row_each_and_pictures_if_wanted(shown):
    names = ("loss_D", "loss_G", "D(x)", "D(G(z))", "gradient", "variety")
    curves = {name: [0.1 * (i + 1), 0.5] for i, name in enumerate(names)}
    pictures = np.full((2, 4, 32, 32, 3), 9, np.uint8)
    records = {name: SimpleNamespace(curves=curves, pictures=pictures) for name in "ab"}
    plots.show_trainings(records, steps=300)
    plots.show_trainings(records, steps=300, pictures=False)
    assert [len(figure.axes) for figure in shown] == [10, 8]
    losses, beliefs, gradient, variety, grid = shown[0].axes[:5]
    assert losses.get_ylabel() == "a"
    assert [list(line.get_ydata()) for line in losses.lines[:2]] == [[0.1, 0.5], [0.2, 0.5]]
    assert list(losses.lines[0].get_xdata()) == [0, 300]
    assert list(beliefs.lines[1].get_ydata()) == [0.4, 0.5]
    assert gradient.get_yscale() == "log"
    assert variety.lines[0].get_ydata()[0] == pytest.approx(0.6)
    assert grid.images[0].get_array().shape == (2 * 128 + 6, 4 * 128 + 3 * 6, 3)


# --- Pictures ----------------------------------------------------------------------------------


def test_black_grey_and_white():
    values = torch.tensor([-1.0, 0.0, 1.0, -7.0, 7.0]).reshape(5, 1, 1, 1).expand(5, 3, 2, 2)
    assert pixels.to_uint8(values)[:, 0, 0, 0].tolist() == [0, 128, 255, 0, 255]


def test_faces_come_back_as_they_were():
    original = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    images = torch.from_numpy(original).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert (pixels.to_uint8(images) == original).all()
    assert pixels.to_uint8(original) is original


def test_grey_pictures_single_pictures_and_gradients_are_fine():
    assert pixels.to_uint8(torch.zeros(2, 1, 4, 4)).shape == (2, 4, 4, 3)
    assert pixels.to_uint8(torch.zeros(3, 4, 4)).shape == (1, 4, 4, 3)
    assert pixels.to_uint8(torch.zeros(2, 3, 4, 4, requires_grad=True)).shape == (2, 4, 4, 3)
    assert pixels.to_uint8(torch.zeros(2, 3, 4, 4, dtype=torch.bfloat16)).shape == (2, 4, 4, 3)


@pytest.mark.parametrize(
    "images", [np.zeros((2, 4, 4, 3)), torch.zeros(2, 4, 4, 3), torch.zeros(2, 5, 4, 4), [1, 2]]
)
def test_other_things_are_no_pictures(images):
    with pytest.raises(ValueError, match=r"give a float tensor \(B, 3, S, S\)"):
        pixels.to_uint8(images)


def test_grid_puts_pictures_row_by_row():
    images = np.stack([np.full((4, 4, 3), value, np.uint8) for value in (10, 20, 30)])
    grid = pixels.image_grid(images, columns=2, gap=1)
    assert grid.shape == (9, 9, 3)
    assert grid[0, 0, 0] == 10
    assert grid[0, 5, 0] == 20
    assert grid[5, 0, 0] == 30
    assert (grid[4] == 255).all()
    assert (grid[5:, 5:] == 255).all()
    assert pixels.image_grid(images, columns=8, gap=1).shape == (4, 14, 3)


def test_shown_pixels_are_sharp(shown):
    images = np.zeros((2, 64, 64, 3), np.uint8)
    images[:, ::2] = 255  # stripes: smoothing would make greys
    plots.show_images(images)
    colours = picture(shown[0])
    assert colours.shape[1] == 2 * 128 + 4
    assert set(np.unique(colours)) <= {0, 255}


def test_titles_stand_above_each_picture(shown):
    plots.show_images(torch.zeros(3, 3, 64, 64), titles=["a", "b", "c"], columns=2, title="all")
    texts = {text.get_text(): text.get_position() for text in shown[0].axes[0].texts}
    assert list(texts) == ["a", "b", "c"]
    assert texts["a"][0] == texts["c"][0] < texts["b"][0]
    assert texts["a"][1] == texts["b"][1] < texts["c"][1]
    with pytest.raises(ValueError, match="1 titles for 3 images"):
        plots.show_images(torch.zeros(3, 3, 64, 64), titles=["a"])


# --- The other figures -------------------------------------------------------------------------


def test_small_maps_have_their_numbers_and_large_ones_a_scale(shown):
    plots.show_maps([torch.eye(2)[None, None] / 2, torch.zeros(16, 16)], ["small", "large"], "both")
    small, large, _scale = shown[0].axes
    assert [text.get_text() for text in small.texts] == ["0.50", "0", "0", "0.50"]
    assert not large.texts
    assert small.get_title() == "small"


@pytest.mark.parametrize(("same", "limits"), [(False, (0, 1)), (True, (-2, 4))])
def test_maps_may_share_a_scale(shown, same, limits):
    plots.show_maps([torch.eye(2), 6 * torch.eye(2) - 2], same_scale=same)
    assert shown[0].axes[0].images[0].get_clim() == limits
    assert shown[0].axes[1].images[0].get_clim() == (-2, 4)


def test_stamps_are_counted(shown):
    plots.show_stamps([(4, 2, 1), (3, 2, 1)], pixels=3)
    counts = [[text.get_text() for text in axes.texts] for axes in shown[0].axes]
    assert counts == [["1", "2", "2", "2", "2", "1"], ["1", "2", "1", "2", "1"]]
    assert [axes.get_title()[-5:] for axes in shown[0].axes] == ["3 → 6", "3 → 5"]


def test_networks_are_drawn_with_their_shapes_and_left_alone(shown):
    generator, discriminator = dcgan.Generator(width=4), dcgan.Discriminator(4)
    before = generator.state_dict()["main.1.running_mean"].clone()
    plots.show_networks(generator, discriminator, torch.randn(2, 100), torch.zeros(2, 3, 64, 64))
    texts = [text.get_text() for text in shown[0].axes[0].texts]
    assert texts.count("32 × 4 × 4") == texts.count("3 × 64 × 64") == 2
    assert texts.count("D(x)") == 1
    assert "kernel 4\nstride 1, pad 0\nSigmoid" in texts
    assert torch.equal(generator.state_dict()["main.1.running_mean"], before)


def test_a_discriminator_without_sigmoid_gives_a_score(shown):
    generator, discriminator = dcgan.Generator(width=4), dcgan.Discriminator(4, sigmoid=False)
    plots.show_networks(generator, discriminator, torch.randn(2, 100), torch.zeros(2, 3, 64, 64))
    texts = [text.get_text() for text in shown[0].axes[0].texts]
    assert "score" in texts
    assert "D(x)" not in texts


def test_losses_have_their_names(shown):
    history = {"loss_D": [1.0, 0.5, 0.3], "loss_G": [1.0, 2.0, 3.0], "D(x)": [0.5, 0.6, 0.7]}
    plots.show_losses(history, smooth=2)
    labels = [text.get_text() for text in shown[0].axes[0].get_legend().get_texts()]
    assert labels == ["loss_D", "loss_G"]


def test_runs_are_dots_and_a_zero_lies_on_the_edge(shown):
    plots.show_runs({"a": [[0, 1, 10]], "b": [[2, 3, 4]]}, ["x"], "title", "y", log=True)
    (axes,) = shown[0].axes
    dots = [line.get_ydata() for line in axes.lines]
    assert [len(values) for values in dots] == [3, 3]
    assert dots[0][0] == pytest.approx(axes.get_ylim()[0])
    assert [text.get_text() for text in axes.texts] == ["0"]


def test_no_zero_on_a_logarithmic_axis_where_there_is_none(shown):
    plots.show_runs({"a": [[1, 10]]}, ["x"], "title", "y", log=True)
    assert not shown[0].axes[0].texts


@pytest.mark.parametrize(
    ("draw", "arguments"),
    [
        (plots.show_losses, ({"loss_D": [1.0, 2.0]},)),
        (plots.show_lines, ({"a": [1.0, 2.0], "theory": [1, 2]}, [1, 2], "title", "x", "y")),
        (plots.show_bars, ({"a": [1.0, 2.0]}, ["x", "y"], "title", "y")),
        (plots.show_histograms, ({"real": torch.randn(20), "fake": [1.0]}, "title", "x")),
        (plots.show_runs, ({"a": [[1, 2, 3]]}, ["x"], "title", "y")),
    ],
)
def test_your_own_matplotlib_settings_stay(shown, draw, arguments):
    before = dict(plt.rcParams)
    draw(*arguments)
    assert dict(plt.rcParams) == before
    assert shown[0].axes[0].get_title() in ("title", "Losses")


def test_scores_stand_beside_their_pictures(shown):
    pictures = {"real": torch.zeros(5, 3, 8, 8), "noise": torch.rand(5, 3, 8, 8)}
    scores = {
        "real": {"frechet/pixels": 1.0, "recall": 0.8},
        "noise": {"frechet/pixels": 1234.5, "recall": 0.2},
    }
    plots.show_scores(pictures, scores, title="title", columns=3)
    axes = shown[0].axes[0]
    assert len(axes.images) == 6
    words = [text.get_text() for text in axes.texts]
    assert {"real", "noise", "1.0", "1,234", "0.80", "0.20", "Fréchet\npixels"} <= set(words)
    shades = [round(patch.get_alpha(), 2) for patch in axes.patches]
    assert shades == [0, 0, 0.75, 0.56]  # the first row's own values are not bad; then 1 and 3/4


def test_style_is_a_context():
    before = plt.rcParams["axes.spines.top"]
    with plots.style():
        assert plt.rcParams["axes.spines.top"] is False
    assert plt.rcParams["axes.spines.top"] == before


def test_source_is_what_runs(monkeypatch):
    said = []
    monkeypatch.setattr(plots.figures, "display", said.append)
    plots.show_source(dcgan.count_parameters)
    assert isinstance(said[0], Markdown)
    assert said[0].data.startswith("```python\ndef count_parameters(network: nn.Module) -> int:\n")
    assert said[0].data.endswith("\n```")


def test_colours_are_told_apart():
    assert len(set(plots.PALETTE)) == len(plots.PALETTE)
    assert plots.REAL != plots.FAKE


# --- Lesson 5's diagrams ------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [(64, 128, 128), (16, 32)])
def test_the_u_has_a_box_for_each_block_and_says_where_words_enter(shown, channels):
    from course_lib import latent_diffusion

    plots.show_unet(latent_diffusion.new_unet(channels))
    words = [text.get_text() for text in shown[0].axes[0].texts]
    assert sum("ch." in one for one in words) == 2 * len(channels) + 1
    assert words.count("looks at words") == 2 * len(channels) - 1
    assert any("128 numbers for each token" in one for one in words)


def test_looks_are_drawn_over_the_picture(shown):
    plots.show_looks(torch.zeros(3, 64, 64), ["red", "eyes"], torch.rand(2, 16, 16))
    assert [axes.get_title() for axes in shown[0].axes] == ["painted", "red", "eyes"]


def test_the_flow_names_every_arrow(shown):
    states, latents = torch.randn(64, 128), torch.randn(4, 16, 16)
    names = ["tokenizer", "text encoder", "10 steps", "decoder"]
    image = torch.zeros(3, 64, 64)
    plots.show_flow("red eyes", ["red", "eyes"], states, latents, latents, image, names)
    words = " ".join(text.get_text() for text in shown[0].axes[0].texts)
    assert all(name in words for name in names)


def test_ways_may_have_words_above(shown):
    plots.show_way([torch.randn(20, 2)] * 2, ["1 step", "2 steps"])
    assert [axes.get_title() for axes in shown[0].axes] == ["1 step", "2 steps"]
