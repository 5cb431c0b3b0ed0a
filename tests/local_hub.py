"""As much of the Hugging Face Hub as a download needs, on 127.0.0.1, from files in memory.

It answers what huggingface_hub's `model_info`, `list_repo_tree`, `hf_hub_download` and
`snapshot_download` ask: the list of files, their sizes and hashes, whole files, and parts of them.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import huggingface_hub
import pytest


@dataclass
class Repository:
    """Files by their paths, and how it misbehaves.

    refuse: status and `X-Error-Code` with which it answers for all files, such as (401,
    "GatedRepo"). cut: how many times each file breaks off in its middle; `DEAD`: it never begins.
    """

    files: dict[str, bytes]
    revisions: tuple[str, ...] = ("main",)
    refuse: tuple[int, str] | None = None
    cut: Counter = field(default_factory=Counter)

    DEAD = 10**6

    @property
    def sha(self) -> str:
        return hashlib.sha1("".join(sorted(self.files)).encode()).hexdigest()

    @classmethod
    def of(cls, folder: Path, **options) -> Repository:
        paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return cls(
            {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}, **options
        )


class LocalHub:
    """Serves `repositories` by id until `stop`; `asked` has every request: method, path, range.

    status: when set, the answer to everything.
    """

    def __init__(self):
        self.repositories: dict[str, Repository] = {}
        self.asked: list[tuple[str, str, str | None]] = []
        self.status: int | None = None
        hub = self

        class Handler(_Handler):
            def setup(self):
                self.hub = hub
                super().setup()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def files_sent(self) -> list[str]:
        """The files whose contents were asked for."""
        return [path.rpartition("/resolve/")[2].partition("/")[2] for way, path, _ in self.asked
                if way == "GET" and "/resolve/" in path]  # fmt: skip


class _Handler(BaseHTTPRequestHandler):  # HTTP/1.0: each request has a connection of its own
    hub: LocalHub

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = urlsplit(self.path).path
        self.hub.asked.append((self.command, path, self.headers["Range"]))
        if self.hub.status:
            return self.send(self.hub.status)
        api = path.startswith("/api/models/")
        steps = [unquote(step) for step in path.removeprefix("/api/models").strip("/").split("/")]
        repository = self.hub.repositories.get("/".join(steps[:2]))
        if repository is None:
            return self.send(404 if self.headers["Authorization"] else 401, code="RepoNotFound")
        if len(steps) > 3 and steps[3] not in (*repository.revisions, repository.sha):
            return self.send(404, code="RevisionNotFound")
        if api:
            tree = steps[2:3] == ["tree"]
            told = self.tree(repository) if tree else self.info("/".join(steps[:2]), repository)
            return self.send(200, json.dumps(told).encode(), body=body)
        if repository.refuse:
            return self.send(repository.refuse[0], code=repository.refuse[1])
        return self.send_file(repository, "/".join(steps[4:]), body)

    def info(self, id: str, repository: Repository) -> dict:
        files = [{"rfilename": name, "size": len(data)} for name, data in repository.files.items()]
        return {"id": id, "modelId": id, "sha": repository.sha, "siblings": files, "tags": [],
                "private": False, "downloads": 0, "likes": 0}  # fmt: skip

    def tree(self, repository: Repository) -> list[dict]:
        return [
            {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for name, data in repository.files.items()
        ]

    def send_file(self, repository: Repository, name: str, body: bool) -> None:
        if name not in repository.files:
            return self.send(404, code="EntryNotFound")
        data = repository.files[name]
        about = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": repository.sha}
        start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start:
            about["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        broken = body and repository.cut[name] > 0
        repository.cut[name] -= broken
        dead = repository.cut[name] >= Repository.DEAD // 2
        end = (start if dead else (start + len(data)) // 2) if broken else len(data)
        return self.send(206 if start else 200, data[start:], about, body=body, end=end - start)

    def send(
        self,
        status: int,
        data: bytes = b"",
        about: dict[str, str] | None = None,
        *,
        code: str = "",
        body: bool = True,
        end: int | None = None,
    ) -> None:
        """end: of how many bytes the answer is, though it promises all of them."""
        self.send_response(status)
        for name, value in {**(about or {}), **({"X-Error-Code": code} if code else {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data[:end])


def point_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the variable HF_ENDPOINT does when it is set before Python starts."""
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
