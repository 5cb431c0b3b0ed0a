import pytest
import torch

from course_lib import settings


def test_data_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (settings.data_dir() / "anime-face.json").is_file()


def test_cache_is_made_where_it_is_wanted(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "a" / "b"))
    assert settings.cache_dir() == tmp_path / "a" / "b"
    assert settings.cache_dir().is_dir()


def test_device_is_the_one_asked_for(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cuda:1")
    assert settings.device() == torch.device("cuda", 1)


@pytest.mark.parametrize(
    ("cuda", "mps", "best"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_device_is_the_fastest_one_here(monkeypatch, cuda, mps, best):
    monkeypatch.delenv("COURSE_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert settings.device().type == best


@pytest.mark.parametrize(
    ("device", "budget"), [("cpu", "quick"), ("mps", "quick"), ("cuda", "full")]
)
def test_budget_follows_the_device(monkeypatch, device, budget):
    monkeypatch.delenv("COURSE_BUDGET", raising=False)
    monkeypatch.setenv("COURSE_DEVICE", device)
    assert settings.budget() == budget
    monkeypatch.setenv("COURSE_BUDGET", "full")
    assert settings.budget() == "full"


def test_unknown_values_are_answered_with_the_known_ones(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "tpu")
    with pytest.raises(ValueError, match=r"COURSE_DEVICE is 'tpu'.*cpu, cuda, mps"):
        settings.device()
    monkeypatch.setenv("COURSE_BUDGET", "endless")
    with pytest.raises(ValueError, match=r"COURSE_BUDGET is 'endless'.*quick, full"):
        settings.budget()


def test_one_thread_gives_the_others_back_after_a_failure_too():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with settings.one_thread():
            assert torch.get_num_threads() == 1
        with pytest.raises(KeyboardInterrupt), settings.one_thread():
            raise KeyboardInterrupt
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
