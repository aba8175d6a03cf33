"""The service on a real port, in a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from pseudocap.captioner import FileCaptioner
from pseudocap.search.index import VideoIndex
from pseudocap.serve.api import Service, create_app
from pseudocap.serve.batching import BatchingCaptioner
from pseudocap.serve.gate import Limits, RequestGate
from pseudocap.serve.server import Server, take_port


@dataclass
class Serving:
    url: str
    captioner: BatchingCaptioner
    gate: RequestGate
    server: Server
    client: httpx.Client

    def caption(self, file: Path | None = None, name: str | None = None, **fields: Any) -> httpx.Response:
        files = None if file is None else {"file": (name or file.name, file.read_bytes())}
        return self.client.post("/caption", data=fields, files=files)


@contextmanager
def serving(
    model: FileCaptioner[Any],
    scratch: Path,
    *,
    root: Path | None = None,
    limits: Limits | None = None,
    index: VideoIndex | None = None,
) -> Iterator[Serving]:
    """Threads decode: no process is started."""
    limits = limits or Limits()
    captioner = BatchingCaptioner(model, workers=0, batch_size=4, max_seconds=limits.video_seconds)
    scratch.mkdir()
    service = Service(captioner=captioner, name="tiny", scratch=scratch, limits=limits, root=root, index=index)
    gate, url = create_app(service), Future[str]()
    with captioner, take_port("127.0.0.1", 0) as taken:
        server = Server(gate, taken, url.set_result)
        thread = threading.Thread(target=server.run_until_stopped)
        thread.start()
        try:
            with httpx.Client(base_url=url.result(30), timeout=60, trust_env=False) as client:
                yield Serving(url.result(), captioner, gate, server, client)
        finally:
            server.stop()
            thread.join()
    assert not list(scratch.iterdir()), "an upload was left behind"
