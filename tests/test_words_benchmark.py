"""benchmarks/words.py runs, from the training to the table and the figure."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from course_lib import metrics

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "words.py"


@pytest.fixture(scope="module")
def words():
    spec = importlib.util.spec_from_file_location("bench_words", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)  # as where a script is run
        spec.loader.exec_module(module)
        patch.setenv("COURSE_DEVICE", "cpu")
        patch.setattr(module, "CHOSEN", 60)
        yield module


def main(words, *given) -> None:
    before, sys.argv = sys.argv, ["words.py", *map(str, given)]
    try:
        words.main()
    finally:
        sys.argv = before


class Nines:
    """A ruler that measures nothing: the real one has tests of its own, and takes long."""

    def __init__(self, *_):
        pass

    def values(self, images):
        assert images.shape == (600, 3, 64, 64)
        return dict.fromkeys(("frechet/convolution", "frechet/pixels"), 9.0)


def test_from_the_training_to_the_table(words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(metrics, "Ruler", Nines)
    size = ["--run", tmp_path / "run", "--seeds", 1, "--images", 64, "--width", 4]
    main(words, "train", *size, "--arms", "no misfits", "misfits, one fact wrong")
    done = sorted(path.parent.name for path in tmp_path.glob("run/*/scores.json"))
    assert done == ["misfits-one-fact-wrong-0", "no-misfits-0"]
    assert (tmp_path / "run" / done[0] / "faces.png").is_file()
    found = json.loads((tmp_path / "run" / done[0] / "scores.json").read_text())
    assert found["images"] == 64
    assert 0 <= found["everything"] <= found["hair"] <= 1

    monkeypatch.setattr(words.cgan, "build", lambda *_, **__: pytest.fail("trained again"))
    main(words, "train", *size, "--arms", "no misfits")
    capsys.readouterr()
    main(words, "table", "--run", tmp_path / "run", "--figures", tmp_path / "figures")
    printed = capsys.readouterr().out
    assert printed.count("| no misfits | 1 | 64 |") == 1
    for name in ("words_claim.png", "words_faces.png"):
        assert (tmp_path / "figures" / name).is_file()


def test_an_empty_run_says_what_to_do(words, tmp_path):
    with pytest.raises(SystemExit, match="run `train` first"):
        main(words, "table", "--run", tmp_path)
