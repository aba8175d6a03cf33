"""A hub on this machine: real HTTP, the API that huggingface_hub speaks, repos in memory, and faults on demand.

Large files go by the LFS batch API and are handed out from another host name (`localhost`) than the API's
(`127.0.0.1`), as the hub's do from its CDN, so that redirects and what may follow them are the real thing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

PART = 1 << 20  # larger files go up in parts of this size
TOKEN = "hf_writes"


@dataclass
class Fault:
    """`times` answers to requests whose "METHOD path" matches are spoilt: by a status, a cut, or a changed byte."""

    pattern: str
    times: int
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    corrupt: bool = False
    then: Callable[[], object] | None = None  # what happens once the answer was given


@dataclass
class Repo:
    private: bool = False
    commits: dict[str, dict[str, str]] = field(default_factory=dict)  # commit -> {path: sha256 of the content}
    branches: dict[str, str] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)

    def commit_of(self, revision: str) -> str | None:
        return self.branches.get(revision) or (revision if revision in self.commits else None)

    def add(self, branch: str, files: dict[str, str]) -> str:
        parent = self.branches.get(branch, "")
        commit = hashlib.sha1(json.dumps([parent, len(self.commits), files]).encode()).hexdigest()
        self.commits[commit] = files
        self.parents[commit] = parent
        self.branches[branch] = commit
        return commit


class Hub:
    """`with Hub() as hub:` serves until the end of the block; `hub.requests` is what was asked, in order."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.static: dict[str, bytes] = {}  # plain files below /static/, as any web server has them
        self.parts: dict[str, dict[int, bytes]] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.bytes_sent: dict[str, int] = {}
        self.lock = threading.Lock()
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.cdn = f"http://localhost:{self.port}"

    def __enter__(self) -> Hub:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def keep(self, content: bytes) -> str:
        oid = hashlib.sha256(content).hexdigest()
        self.blobs[oid] = content
        return oid

    def put(self, name: str, files: dict[str, bytes], *, branch: str = "main", private: bool = False) -> str:
        """A commit of a repo, made behind the API's back; gives its id."""
        repo = self.repos.setdefault(name, Repo(private=private))
        return repo.add(branch, {path: self.keep(content) for path, content in files.items()})

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        repo = self.repos[name]
        commit = repo.commit_of(revision)
        return {} if commit is None else {path: self.blobs[oid] for path, oid in repo.commits[commit].items()}

    def fail(self, pattern: str, *, times: int = 1, **how: Any) -> None:
        self.faults.append(Fault(pattern=pattern, times=times, **how))

    def take_fault(self, line: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.pattern, line):
                    fault.times -= 1
                    return fault
        return None

    def asked(self, pattern: str) -> list[str]:
        return [f"{method} {path}" for method, path, _ in self.requests if re.search(pattern, f"{method} {path}")]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._serve()

    do_GET = do_POST = do_PUT = do_HEAD

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length) if length else self._read_chunks()
        split = urllib.parse.urlsplit(self.path)
        self.where, self.query = urllib.parse.unquote(split.path), dict(urllib.parse.parse_qsl(split.query))
        with self.hub.lock:
            self.hub.requests.append((self.command, self.where, {k.lower(): v for k, v in self.headers.items()}))
        self.fault = self.hub.take_fault(f"{self.command} {self.where}")
        if self.fault is not None and self.fault.status is not None:
            self._answer(self.fault.status, b'{"error": "as the test wants it"}', self.fault.headers)
            return
        for pattern, method in ROUTES:
            if match := re.fullmatch(pattern, f"{self.command} {self.where}"):
                method(self, *match.groups())
                if self.fault is not None and self.fault.then is not None:
                    self.fault.then()
                return
        self._answer(404, b"{}")

    def _read_chunks(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return b""
        whole = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def _answer(self, status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> None:
        headers = {"Content-Length": str(len(content)), **(headers or {})}
        fault = self.fault
        if fault is not None and fault.corrupt and content:
            content = content[:-1] + bytes([content[-1] ^ 1])
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault is not None and fault.cut_after is not None:
            content = content[: fault.cut_after]
        self.wfile.write(content)
        with self.hub.lock:
            self.hub.bytes_sent[self.where] = self.hub.bytes_sent.get(self.where, 0) + len(content)
        if fault is not None and fault.cut_after is not None:
            self.wfile.flush()
            self.close_connection = True

    def _json(self, document: object, status: int = 200) -> None:
        self._answer(status, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, code: str) -> None:
        self._answer(status, json.dumps({"error": code}).encode(), {"X-Error-Code": code, "X-Error-Message": code})

    def _repo(self, name: str, *, write: bool = False) -> Repo | None:
        """The repo, or None once an error was answered. A private one is hidden from those without the token."""
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and not known):
            self._error(401 if not known else 404, "RepoNotFound")
            return None
        if write and not known:
            self._error(403, "Forbidden")
            return None
        return repo

    # the API, one method a route

    def create_repo(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, b'{"error": "Invalid username or password."}')
            return
        wanted = json.loads(self.body)
        name = f"{wanted['organization']}/{wanted['name']}"
        there = name in self.hub.repos
        private = wanted.get("visibility") == "private" or wanted.get("private") is True
        self.hub.repos.setdefault(name, Repo(private=private)).branches.setdefault("main", "")
        self._json({"url": f"{self.hub.endpoint}/{name}", "name": name}, 409 if there else 200)

    def create_branch(self, name: str, branch: str) -> None:
        if (repo := self._repo(name, write=True)) is None:
            return
        there = branch in repo.branches
        repo.branches.setdefault(branch, repo.branches.get("main", ""))
        self._json({}, 409 if there else 200)

    def validate_yaml(self) -> None:
        """The hub's check of a card's metadata, as far as it decides about ours."""
        match = re.match(r"---\n(.*?)\n---\n", json.loads(self.body)["content"], re.DOTALL)
        errors = []
        try:
            data = yaml.safe_load(match[1]) if match else None
            if not isinstance(data, dict):
                errors.append({"message": "no metadata"})
        except yaml.YAMLError as error:
            errors.append({"message": str(error)})
        self._json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def preupload(self, name: str, revision: str) -> None:
        if (repo := self._repo(name, write=True)) is None:
            return
        if revision not in repo.branches:
            self._error(404, "RevisionNotFound")
            return
        files = json.loads(self.body)["files"]
        answers = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for file in files
        ]
        self._json({"files": answers})

    def lfs_batch(self, name: str) -> None:
        if self._repo(name, write=True) is None:
            return
        objects = []
        for each in json.loads(self.body)["objects"]:
            oid, size = each["oid"], each["size"]
            answer: dict[str, Any] = {"oid": oid, "size": size}
            if oid not in self.hub.blobs:
                verify = {"href": f"{self.hub.endpoint}/lfs/verify"}
                header = {}
                href = f"{self.hub.cdn}/lfs/upload/{oid}"
                if size > PART:
                    count = -(-size // PART)
                    header = {f"{part + 1:05d}": f"{href}?part={part + 1}" for part in range(count)}
                    header["chunk_size"] = str(PART)
                    href = f"{self.hub.endpoint}/lfs/complete/{oid}"
                answer["actions"] = {"upload": {"href": href, "header": header}, "verify": verify}
            objects.append(answer)
        self._json({"transfer": "basic", "objects": objects})

    def lfs_upload(self, oid: str) -> None:
        part = int(self.query.get("part", 0))
        with self.hub.lock:
            self.hub.parts.setdefault(oid, {})[part] = self.body
        if not part:
            self._take(oid)
        self._answer(200, b"", {"ETag": f'"{hashlib.md5(self.body).hexdigest()}"'})

    def lfs_complete(self, oid: str) -> None:
        self._take(oid)
        self._json({})

    def _take(self, oid: str) -> None:
        parts = self.hub.parts.pop(oid)
        content = b"".join(parts[number] for number in sorted(parts))
        if hashlib.sha256(content).hexdigest() == oid:
            self.hub.blobs[oid] = content

    def lfs_verify(self) -> None:
        wanted = json.loads(self.body)
        content = self.hub.blobs.get(wanted["oid"])
        whole = content is not None and len(content) == wanted["size"]
        self._json({} if whole else {"error": "not what was promised"}, 200 if whole else 422)

    def commit(self, name: str, revision: str) -> None:
        if (repo := self._repo(name, write=True)) is None:
            return
        lines = [json.loads(line) for line in self.body.splitlines()]
        pull_request = self.query.get("create_pr") == "1"
        branch = f"refs/pr/{1 + sum('refs/pr/' in each for each in repo.branches)}" if pull_request else revision
        files = dict(repo.commits.get(repo.branches.get(revision, ""), {}))
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = self.hub.keep(base64.b64decode(value["content"]))
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.hub.blobs:
                    self._json({"error": "LFS object not found"}, 400)
                    return
                files[value["path"]] = value["oid"]
        commit = repo.add(branch, files)
        url = f"{self.hub.endpoint}/{name}"
        answer = {"commitUrl": f"{url}/commit/{commit}", "commitOid": commit}
        self._json(
            {**answer, "pullRequestUrl": f"{url}/discussions/{branch.rpartition('/')[2]}"} if pull_request else answer
        )

    def info(self, name: str, revision: str = "main") -> None:
        if (repo := self._repo(name)) is None:
            return
        commit = repo.commit_of(revision)
        siblings = [{"rfilename": path} for path in repo.commits.get(commit or "", {})]
        self._json(
            {"id": name, "sha": commit, "private": repo.private, "siblings": siblings, "tags": [], "downloads": 0}
        )

    def tree(self, name: str, revision: str, folder: str) -> None:
        if (repo := self._repo(name)) is None:
            return
        commit = repo.commit_of(revision)
        inside = [path for path in repo.commits.get(commit or "", {}) if path.startswith(folder)]
        if folder and not inside:
            self._error(404, "EntryNotFound")
            return
        files = repo.commits.get(commit or "", {})
        entries = [
            {"type": "file", "path": path, "oid": files[path][:40], "size": len(self.hub.blobs[files[path]])}
            for path in inside
        ]
        self._json(entries)

    def resolve(self, name: str, rest: str) -> None:
        if (repo := self._repo(name)) is None:
            return
        pull = re.match(r"(refs/pr/\d+)/(.*)", rest)
        revision, path = pull.groups() if pull else rest.split("/", 1)
        commit = repo.commit_of(revision)
        if revision not in repo.branches and commit is None:
            self._error(404, "RevisionNotFound")
            return
        oid = repo.commits.get(commit or "", {}).get(path)
        if oid is None:
            self._error(404, "EntryNotFound")
            return
        commits = {"X-Repo-Commit": commit or ""}
        if path.endswith(".safetensors"):
            linked = {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(self.hub.blobs[oid]))}
            self._answer(302, b"", {**commits, **linked, "Location": f"{self.hub.cdn}/cdn/{oid}"})
            return
        etag = hashlib.sha1(self.hub.blobs[oid]).hexdigest()
        self._file(self.hub.blobs[oid], {**commits, "ETag": f'"{etag}"'})

    def cdn_file(self, oid: str) -> None:
        self._file(self.hub.blobs[oid], {"ETag": f'"{oid}"'})

    def static_file(self, path: str) -> None:
        content = self.hub.static.get(path)
        if content is None:
            self._answer(404)
            return
        self._file(content, {"ETag": f'"{hashlib.md5(content).hexdigest()}"'})

    def _file(self, content: bytes, headers: dict[str, str]) -> None:
        headers = {**headers, "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            self._answer(200, content, headers)
            return
        first, last = int(asked[1]), int(asked[2] or len(content) - 1)
        if first >= len(content):
            self._answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        part = content[first : last + 1]
        self._answer(206, part, {**headers, "Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(content)}"})


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES: list[tuple[str, Callable[..., None]]] = [
    (r"POST /api/repos/create", _Handler.create_repo),
    (r"POST /api/validate-yaml", _Handler.validate_yaml),
    (rf"POST /api/models/{NAME}/branch/(.+)", _Handler.create_branch),
    (rf"POST /api/models/{NAME}/preupload/(.+)", _Handler.preupload),
    (rf"POST /api/models/{NAME}/commit/(.+)", _Handler.commit),
    (rf"POST /{NAME}\.git/info/lfs/objects/batch", _Handler.lfs_batch),
    (r"PUT /lfs/upload/(\w+)", _Handler.lfs_upload),
    (r"POST /lfs/complete/(\w+)", _Handler.lfs_complete),
    (r"POST /lfs/verify", _Handler.lfs_verify),
    (rf"GET /api/models/{NAME}(?:/revision/(.+))?", lambda self, name, at: _Handler.info(self, name, at or "main")),
    (rf"GET /api/models/{NAME}/tree/([^/]+)/?(.*)", _Handler.tree),
    (rf"(?:GET|HEAD) /{NAME}/resolve/(.+)", _Handler.resolve),
    (r"(?:GET|HEAD) /static/(.+)", _Handler.static_file),
    (r"(?:GET|HEAD) /cdn/(\w+)", _Handler.cdn_file),
]


def hub_settings(hub: Hub, home: Path) -> dict[str, str]:
    """The environment in which another process meets this hub."""
    return {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": TOKEN,
        "NO_PROXY": "*",
    }


def wait_until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


def close_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the hub's client ask where nothing listens."""
    from huggingface_hub import constants

    nowhere = "http://127.0.0.1:9"
    monkeypatch.setattr(constants, "ENDPOINT", nowhere)
    template = nowhere + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
