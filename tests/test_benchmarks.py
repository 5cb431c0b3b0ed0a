"""The benchmarks run, from the training to the table; what they find out is in their README."""

import importlib.util
import json
import sys
from functools import partialmethod
from pathlib import Path

import pytest

from course_lib import dcgan, metrics, pretrained, training

pytestmark = pytest.mark.slow

SIZES = ["--minutes", "0.02", "--width", "4", "--seeds", "1"]
BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def gan():
    spec = importlib.util.spec_from_file_location("bench_gan", BENCHMARKS / "gan.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patch:  # two sets of pictures, not five: it takes long
        patch.setattr(metrics.Ruler, "measure", partialmethod(metrics.Ruler.measure, draws=2))
        yield module


@pytest.fixture(scope="module")
def run(gan, tmp_path_factory):
    """A finished run of one seed, far too small to paint anything."""
    run = tmp_path_factory.mktemp("run")
    main(gan, "train", "--run", str(run), *SIZES)
    return run


def main(gan, *words):
    before, sys.argv = sys.argv, ["gan.py", *words]
    try:
        gan.main()
    finally:
        sys.argv = before


def test_both_arms_get_the_same_time_and_the_same_first_weights(gan, run):
    for part, seconds in ((0.25, 0.3), (0.5, 0.6), (1.0, 1.2)):
        rows = [json.loads((run / f"{arm}-0-{part}.json").read_text()) for arm in gan.EXPORTED]
        assert all(row["seconds"] >= seconds and row["images"] > 0 for row in rows)
    one, other = (
        dcgan.networks(recipe, width=4, image_size=64, seed=3)[0]
        for recipe in (dcgan.TUTORIAL, gan.OURS)
    )
    for key, value in one.named_parameters():
        assert (value == dict(other.named_parameters())[key]).all()


def test_an_interrupted_part_is_not_taken_for_a_finished_one(gan, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        return dcgan.Trained(dcgan.Generator(width=4), training.History(8, stopped="interrupted"))

    monkeypatch.setattr(gan, "trainer", lambda *_: interrupted)
    with pytest.raises(SystemExit):
        main(gan, "arm", "--run", str(tmp_path), *SIZES[:4], "--arm", "ours", "--seed", "0")
    assert not list(tmp_path.glob("*.json"))


def test_other_settings_need_another_folder(gan, run):
    words = ["--minutes", "0.02", "--width", "8", "--arm", "ours", "--seed", "0"]
    with pytest.raises(SystemExit, match=r"width 4 \(now 8\); give another folder"):
        main(gan, "arm", "--run", str(run), *words)


def test_table_and_figures(gan, run, tmp_path, capsys):
    main(gan, "table", "--run", str(run), "--figures", str(tmp_path))
    printed = capsys.readouterr().out
    assert printed.count("| tutorial |") == printed.count("| ours |") == 4
    assert {path.name for path in tmp_path.iterdir()} == {"gan_distances.png", "gan_faces.png"}
    measures = json.loads((run / "ours-0-1.0.json").read_text())["measures"]
    assert measures["frechet/convolution"]["value"] > 10  # it has learnt nothing yet


def test_export_writes_what_lesson_3_reads(gan, run, tmp_path, monkeypatch):
    save = pretrained.save
    monkeypatch.setattr(
        gan.pretrained, "save", lambda *a, **k: save(*a, **k, folder=tmp_path / "weights")
    )
    main(gan, "export", "--run", str(run))
    about = pretrained.describe("faces-better", tmp_path / "weights")
    assert about["config"] == {"width": 4}
    assert about["training"]["bench"][0]["measures"]["recall"]["value"] >= 0


def test_an_empty_run_says_what_to_do(gan, tmp_path):
    with pytest.raises(SystemExit, match="run `train` first"):
        main(gan, "table", "--run", str(tmp_path))
