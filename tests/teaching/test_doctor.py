"""`course doctor`: what is wrong is found, named, and given its cure."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from course_lib import cli, settings
from course_lib.files import sha256
from course_lib.teaching import doctor


@pytest.fixture
def weights(tmp_path) -> Path:
    """Two networks, one of them a folder, and a film."""
    folder = tmp_path / "weights"
    (folder / "pair").mkdir(parents=True)
    for name in ("one.safetensors", "pair/two.safetensors", "film.webp"):
        (folder / name).write_bytes(name.encode() * 1000)
    film = {"file": "film.webp", "sha256": sha256(folder / "film.webp")}
    one = {"file": "one.safetensors", "sha256": sha256(folder / "one.safetensors"), "film": film}
    files = {"two.safetensors": sha256(folder / "pair" / "two.safetensors")}
    manifest = {"one": one, "pair": {"folder": "pair", "files": files}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def levels(findings) -> list[str]:
    return [finding.level for finding in findings]


def test_whole_weights_are_well(weights):
    (finding,) = doctor.weights(weights)
    assert (finding.level, finding.message) == ("ok", "3 files, each as the manifest says")


@pytest.mark.parametrize("name", ["one.safetensors", "pair/two.safetensors", "film.webp"])
def test_a_damaged_file_is_found(weights, name):
    content = bytearray((weights / name).read_bytes())
    content[500] ^= 1
    (weights / name).write_bytes(content)
    (finding,) = doctor.weights(weights)
    assert finding.level == "error"
    assert f"{name} is damaged" in finding.message
    assert f"git checkout data/weights/{name}" in finding.cure


def test_missing_files_and_pointers_are_found(weights):
    (weights / "film.webp").unlink()
    (weights / "one.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    missing, pointer = doctor.weights(weights)
    assert "film.webp is missing" in missing.message
    assert pointer.cure == "git lfs pull"
    (weights / "manifest.json").write_text("{")
    (finding,) = doctor.weights(weights)
    assert (finding.level, finding.what) == ("error", "weights")


def test_damaged_faces_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "data_dir", lambda: tmp_path)
    (tmp_path / "faces.parquet").write_bytes(b"faces")
    card = f"| File | 5 bytes, SHA-256 `{sha256(tmp_path / 'faces.parquet')}` |"
    (tmp_path / "README.md").write_text(card)
    assert levels(doctor.faces()) == ["ok"]
    (tmp_path / "faces.parquet").write_bytes(b"fades")
    (finding,) = doctor.faces()
    assert "damaged" in finding.message


def test_a_mismatched_torchvision_is_named(monkeypatch):
    """Both before it is imported, by what it says it needs, and by how its import ends."""
    versions = {"torch": "2.15.0+cpu", "torchvision": "0.24.0"}
    monkeypatch.setattr(doctor.metadata, "version", versions.__getitem__)
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: ["numpy", "torch==2.9.0"])
    error = "RuntimeError: operator torchvision::nms does not exist"
    found = {"torch": "2.15.0", "threads": 2, "gpu": "", "built_for_cuda": ""}
    monkeypatch.setattr(doctor, "import_torch", lambda: (found | {"torchvision_error": error}, ""))
    pinned, imported, gpu = doctor.torch_pair()
    assert "belongs to torch 2.9.0, and this is torch 2.15.0" in pinned.message
    assert "operator torchvision::nms does not exist" in pinned.message
    assert "no pair" in imported.message
    assert pinned.level == imported.level == "error"
    assert gpu.level == "ok"


def test_what_a_broken_torch_says_is_passed_on(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise OSError('libcudart.so.12: cannot open')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found, complaint = doctor.import_torch()
    assert found is None
    assert complaint == "OSError: libcudart.so.12: cannot open"


def test_an_import_that_kills_python_is_passed_on(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("import os; os._exit(132)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert doctor.import_torch() == (None, "Python ended with status 132")


def test_old_and_missing_packages_are_named(monkeypatch):
    needs = ["numpy>=999", "nowhere-at-all>=1", "pytest", 'ruff>=999; extra == "test"']
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: needs)
    old, missing = doctor.versions()
    assert "numpy" in old.message
    assert old.cure == 'python -m pip install "numpy>=999"'
    assert missing.message == "nowhere-at-all is not installed"


def test_a_missing_kernel_is_an_error_and_anothers_a_warning(tmp_path, monkeypatch):
    from jupyter_client import kernelspec

    def put(*argv):
        found = kernelspec.KernelSpec(argv=list(argv))
        monkeypatch.setattr(kernelspec.KernelSpecManager, "get_kernel_spec", lambda *_: found)

    def none(*_):
        raise kernelspec.NoSuchKernel("python3")

    monkeypatch.setattr(kernelspec.KernelSpecManager, "get_kernel_spec", none)
    (finding,) = doctor.kernel()
    assert finding.level == "error"
    assert "ipykernel install" in finding.cure
    put(sys.executable)
    assert levels(doctor.kernel()) == ["ok"]
    put(str(tmp_path / "gone"))
    assert levels(doctor.kernel()) == ["error"]
    put("/bin/sh")
    assert levels(doctor.kernel()) == ["warning"]


def test_a_kernel_that_cannot_be_read_is_an_error_with_its_place(tmp_path, monkeypatch):
    spec = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text('{"argv": [', encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    (finding,) = doctor.kernel()
    assert finding.level == "error"
    assert str(spec.parent) in finding.cure


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "file"))
    (finding,) = doctor.cache()
    assert finding.level == "error"
    assert "COURSE_CACHE" in finding.cure
    (finding,) = doctor.guarded(doctor.disk)  # which asks for the same folder, and does not fall
    assert "temporary files" in finding.message


def test_little_room_and_many_threads_are_warned_of(monkeypatch, tmp_path):
    usage = doctor.shutil.disk_usage(tmp_path)._replace(free=2**30)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    assert levels(doctor.disk()) == ["warning", "warning"]
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    assert levels(doctor.python()) == ["ok", "warning"]


def test_the_status_says_whether_there_was_an_error(monkeypatch):
    findings = [doctor.Finding("a", "ok", "well"), doctor.Finding("b", "warning", "so so", "rest")]
    monkeypatch.setattr(doctor, "examine", lambda: iter(findings))
    said = CliRunner().invoke(cli.app, ["doctor"])
    assert said.exit_code == 0
    assert "warning b            so so → rest" in said.output
    findings.append(doctor.Finding("c", "error", "broken"))
    said = CliRunner().invoke(cli.app, ["doctor", "--json"])
    assert said.exit_code == 1
    assert [one["level"] for one in json.loads(said.output)] == ["ok", "warning", "error"]
