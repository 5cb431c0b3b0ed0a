"""A JupyterLab of its own, and a browser that reaches nothing but this machine."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.notebooks import ROOT

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FOLDERS = {
    "HOME": "home",
    "IPYTHONDIR": "ipython",
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
}


def chromium() -> str | None:
    """The system's Chromium, if it has one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def browsing() -> Iterator:
    """A Chromium for which there is no other address than this machine's."""
    from playwright.sync_api import sync_playwright

    options = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--no-sandbox")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=options)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def serving(home: Path) -> Iterator[Callable[[str], str]]:
    """What gives a lesson's address in a JupyterLab that shows `home`/notebooks.

    It knows no user's settings, and asks no one for news.
    """
    for name, settings in json.loads((ROOT / "tools" / "jupyterlab.json").read_text()).items():
        extension, plugin = name.split(":")
        path = home / "settings" / extension / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(settings), encoding="utf-8")

    token = secrets.token_hex(16)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *("--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"),
        *(f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={home}"),
        *("--expose-app-in-browser", "--LabApp.extension_manager=readonly"),
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    environment = os.environ | {name: str(home / folder) for name, folder in FOLDERS.items()}
    log = home / "lab.log"
    with log.open("w") as out:
        server = subprocess.Popen(command, cwd=home, env=environment, stdout=out, stderr=out)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(f"{address}/api?token={token}", server, log)
        # A workspace each: a shared one opens all earlier lessons again, and starts their kernels.
        yield (
            lambda name: (
                f"{address}/lab/workspaces/{Path(name).stem}/tree/notebooks/{name}?token={token}"
            )
        )
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait_for(address: str, server: subprocess.Popen, log: Path, seconds: float = 90) -> None:
    """Wait until the server answers; fail with its log where it does not."""
    end = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise RuntimeError(f"JupyterLab did not answer:\n{log.read_text()[-3000:]}")
