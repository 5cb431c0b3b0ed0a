"""Is this machine ready for the course? One line a finding, and what to do about it.

Every examination is made so that it can speak where the thing it examines is broken: torch is
imported in a process of its own, and the manifest is read without `pretrained`.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from course_lib import settings
from course_lib.files import sha256

OK, WARNING, ERROR = "ok", "warning", "error"
PACKAGE = "ai-painting-course"
OLDEST = (3, 11)
LITTLE_DISK, NO_DISK = 2 * 2**30, 200 * 2**20  # bytes
LONGEST = 300  # seconds for an import; 10 to 30 are usual on a busy machine

IMPORT = """
import json, torch
found = {"torch": torch.__version__, "threads": torch.get_num_threads(), "gpu": ""}
try:
    import torchvision
    from torchvision.ops import nms
    found["torchvision"] = torchvision.__version__
except Exception as error:
    found["torchvision_error"] = f"{type(error).__name__}: {error}"
if torch.cuda.is_available():
    free, total = torch.cuda.mem_get_info()
    room = f"{free/2**30:.1f} of {total/2**30:.1f} GiB free"
    found["gpu"] = f"{torch.cuda.get_device_name(0)}, {room}"
elif torch.backends.mps.is_available():
    found["gpu"] = "Apple (mps)"
found["built_for_cuda"] = torch.version.cuda or ""
print("FOUND" + json.dumps(found))
"""


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is (ok, warning, error), and the cure where there is one."""

    what: str
    level: str
    message: str
    cure: str = ""

    def __str__(self) -> str:
        cure = f" → {self.cure}" if self.cure else ""
        return f"{self.level:8}{self.what:13}{self.message}{cure}"

    def data(self) -> dict[str, str]:
        """For --json."""
        return asdict(self)


def examine() -> Iterator[Finding]:
    """Every finding, as soon as it is made."""
    for look in (python, versions, torch_pair, kernel, disk, cache, faces, weights, fonts):
        yield from guarded(look)


def guarded(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of one examination; one that fails is a finding too, and the others go on."""
    try:
        yield from look()
    except Exception as error:  # a doctor that falls ill says so
        yield Finding(
            look.__name__, ERROR, f"could not be examined: {type(error).__name__}: {error}"
        )


def python() -> Iterator[Finding]:
    version = platform.python_version()
    where = f"{version}, {sys.executable}"
    if sys.version_info < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        yield Finding("python", ERROR, where, f"the course needs {wanted} or newer")
    else:
        yield Finding("python", OK, where)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = os.environ.get("OMP_NUM_THREADS")
    stated = f"{cores} cores, OMP_NUM_THREADS {threads or 'not set'}"
    if threads and threads.isdigit() and int(threads) > (cores or 1):
        yield Finding(
            "threads", WARNING, stated, "more threads than cores wait for each other: lower it"
        )
    else:
        yield Finding("threads", OK, stated)


def versions() -> Iterator[Finding]:
    """Of what the course names as its dependencies."""
    from packaging.requirements import Requirement

    try:
        named = metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:
        yield Finding("course", ERROR, f"{PACKAGE} is not installed", "python -m pip install -e .")
        return
    wrong = 0
    wanted = [Requirement(text) for text in named]
    wanted = [one for one in wanted if not one.marker or one.marker.evaluate({"extra": ""})]
    for one in wanted:
        cure = f'python -m pip install "{one.name}{one.specifier}"'
        try:
            found = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            yield Finding("packages", ERROR, f"{one.name} is not installed", cure)
            wrong += 1
            continue
        if not one.specifier.contains(found, prereleases=True):
            yield Finding("packages", ERROR, f"{one.name} {found} is not {one.specifier}", cure)
            wrong += 1
    if not wrong:
        yield Finding("packages", OK, f"{len(wanted)} dependencies, none too old")


def torch_pair() -> Iterator[Finding]:
    """Do torch and torchvision belong together, can they be imported, and is there a GPU?"""
    pinned = pinned_torch()
    try:
        torch_is = metadata.version("torch").partition("+")[0]
    except metadata.PackageNotFoundError:
        return  # `versions` has said so
    cure = "python -m pip install --force-reinstall torch torchvision, both in one command"
    if pinned and pinned != torch_is:
        yield Finding(
            "torch",
            ERROR,
            f"torchvision {metadata.version('torchvision')} belongs to torch {pinned}, and this is "
            f"torch {torch_is}: it will end in `operator torchvision::nms does not exist`",
            cure,
        )
    found, complaint = import_torch()
    if found is None:
        yield Finding("torch", ERROR, f"cannot be imported: {complaint}", cure)
        return
    if error := found.get("torchvision_error"):
        why = " (torch and torchvision are no pair)" if "torchvision::nms" in error else ""
        yield Finding("torch", ERROR, f"torchvision cannot be imported: {error}{why}", cure)
    else:
        yield Finding(
            "torch",
            OK,
            f"{found['torch']} with torchvision {found['torchvision']}, {found['threads']} threads",
        )
    if found["gpu"]:
        yield Finding("gpu", OK, str(found["gpu"]))
    elif found["built_for_cuda"] and shutil.which("nvidia-smi"):
        yield Finding(
            "gpu",
            WARNING,
            f"none that torch can use, though nvidia-smi is here; torch is for CUDA "
            f"{found['built_for_cuda']}",
            "compare with the driver's CUDA version in `nvidia-smi`; the lessons run without",
        )
    else:
        yield Finding("gpu", OK, "none: no lesson needs one")


def pinned_torch() -> str | None:
    """The torch that the installed torchvision was built for, as its own metadata says."""
    try:
        named = metadata.requires("torchvision") or []
    except metadata.PackageNotFoundError:
        return None
    found = [re.match(r"torch\s*\(?==\s*([\w.]+)", text) for text in named]
    return next((one[1] for one in found if one), None)


def import_torch() -> tuple[dict[str, str] | None, str]:
    """What torch says of itself; or None, and why it cannot. In a process that may die of it."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", IMPORT], capture_output=True, text=True, timeout=LONGEST
        )
    except subprocess.TimeoutExpired:
        return None, f"not imported after {LONGEST} seconds"
    for line in done.stdout.splitlines():
        if line.startswith("FOUND"):
            return json.loads(line.removeprefix("FOUND")), ""
    last = (done.stderr.strip().splitlines() or [f"Python ended with status {done.returncode}"])[-1]
    return None, last


def kernel() -> Iterator[Finding]:
    """The notebooks name the kernel `python3`."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    cure = f"{sys.executable} -m ipykernel install --sys-prefix"
    manager = KernelSpecManager()
    try:
        program = manager.get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        yield Finding("kernel", ERROR, "there is no kernel named python3", cure)
        return
    except (ValueError, LookupError, TypeError) as error:  # its kernel.json is no kernel's
        place = manager.find_kernel_specs()["python3"]
        stated = f"python3 cannot be read ({error})"
        yield Finding("kernel", ERROR, stated, f"remove {place}, then {cure}")
        return
    found = shutil.which(program)
    if not found:
        yield Finding("kernel", ERROR, f"python3 would start {program}, which is not there", cure)
    elif Path(program).is_absolute() and Path(found).resolve() != Path(sys.executable).resolve():
        yield Finding("kernel", WARNING, f"python3 starts another Python: {program}", cure)
    else:
        yield Finding("kernel", OK, "python3")


def disk() -> Iterator[Finding]:
    places = {"temporary": tempfile.gettempdir()}
    with suppress(OSError):  # `cache` has the finding and the cure
        places = {"cache": settings.cache_dir()} | places
    for what, place in places.items():
        free = shutil.disk_usage(place).free
        stated = f"{free / 2**30:.1f} GiB free for {what} files"
        level = OK if free >= LITTLE_DISK else WARNING if free >= NO_DISK else ERROR
        cure = "" if level == OK else f"make room on the disk of {place}"
        yield Finding("disk", level, stated, cure)


def cache() -> Iterator[Finding]:
    cure = "set COURSE_CACHE to a folder that may be written"
    try:
        place = settings.cache_dir()
        with tempfile.NamedTemporaryFile(dir=place) as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        yield Finding("cache", ERROR, f"cannot be written: {error}", cure)
    else:
        yield Finding("cache", OK, f"{place} can be written")


def faces() -> Iterator[Finding]:
    """The bundled faces, against the hash on their card."""
    folder = settings.data_dir()
    path, card = folder / "faces.parquet", folder / "README.md"
    cure = "git checkout data/faces.parquet, or install the course anew"
    if not path.exists():
        yield Finding("data", ERROR, f"{path} is missing", cure)
        return
    text = card.read_text(encoding="utf-8") if card.exists() else ""
    stated = re.search(r"\| File \|.*SHA-256 `([0-9a-f]{64})`", text)
    if not stated:
        yield Finding("data", WARNING, "faces.parquet is here; its card states no hash")
    elif sha256(path) != stated[1]:
        yield Finding("data", ERROR, "faces.parquet is not what its card says: damaged", cure)
    else:
        yield Finding("data", OK, "faces.parquet is whole")


def weights(folder: Path | None = None) -> Iterator[Finding]:
    """Every file that the manifest names, against its hash."""
    folder = folder or settings.data_dir() / "weights"
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        cure = "git checkout data/weights, or install the course anew"
        yield Finding("weights", ERROR, f"the manifest cannot be read: {error}", cure)
        return
    stated = dict(hashes(manifest))
    wrong = 0
    for name, wanted in sorted(stated.items()):
        path = folder / name
        cure = f"git checkout data/weights/{name}, or install the course anew"
        if not path.exists():
            yield Finding("weights", ERROR, f"{name} is missing", cure)
        elif path.stat().st_size < 1000 and path.read_bytes().startswith(
            b"version https://git-lfs"
        ):
            yield Finding("weights", ERROR, f"{name} is only a pointer of Git LFS", "git lfs pull")
        elif sha256(path) != wanted:
            yield Finding("weights", ERROR, f"{name} is damaged: its hash is another", cure)
        else:
            continue
        wrong += 1
    if not wrong:
        yield Finding("weights", OK, f"{len(stated)} files, each as the manifest says")


def hashes(manifest: dict) -> Iterator[tuple[str, str]]:
    """Files, from the weights' folder, and what their SHA-256 is to be."""
    for about in manifest.values():
        if "file" in about:
            yield about["file"], about["sha256"]
        for file, wanted in about.get("files", {}).items():
            yield f"{about['folder']}/{file}", wanted
        if film := about.get("film"):
            yield film["file"], film["sha256"]


def fonts() -> Iterator[Finding]:
    """For the widgets' Chinese words, which the browser draws; no figure needs such a font."""
    if sys.platform != "linux":
        yield Finding("fonts", OK, f"{platform.system()} brings Chinese ones")
        return
    if not shutil.which("fc-list"):
        yield Finding("fonts", WARNING, "fc-list is not here to ask for a Chinese font", FONT_CURE)
        return
    done = subprocess.run(["fc-list", ":lang=zh", "family"], capture_output=True, text=True)
    if family := done.stdout.strip().partition("\n")[0]:
        yield Finding("fonts", OK, f"Chinese: {family}")
    else:
        yield Finding("fonts", WARNING, "none with Chinese characters here", FONT_CURE)


FONT_CURE = (
    "only if the browser runs on this machine, whose widgets show Chinese words: "
    "sudo apt install fonts-noto-cjk"
)
