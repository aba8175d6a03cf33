"""`pseudocap serve` as a process: mistakes before anything is loaded; signals, crashes and many clients."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from helpers.shaded_films import write_film

from pseudocap.cli.main import main


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", "70000"], "port 70000 of 127.0.0.1 cannot be had"),
        (["--port", "-1"], "--port must be at least 0"),
        (["--queue", "0"], "--queue must be at least 1"),
        (["--max-time", "0"], "--max-time must be above 0"),
        (["--gather", "-1"], "--gather must be at least 0"),
        (["--root", "no/such/folder"], "--root no/such/folder is no folder"),
        (["--checkpoint", "toy-mxed"], "toy-mxed is no directory here"),
        (["--host", "no.such.host.invalid"], "of no.such.host.invalid cannot be had"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *words]) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1


@contextmanager
def process(*words: str, scratch: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The service as its own process, and its address once it answers."""
    command = [sys.executable, "-m", "pseudocap", "serve", "--port", "0", "--device", "cpu", *words]
    env = os.environ | {"TMPDIR": str(scratch)}
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    try:
        assert running.stdout is not None
        found = re.search(r"http://\S+", running.stdout.readline())
        assert found, "the service has not said where it is"
        yield running, found[0]
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


def children(pid: int) -> list[int]:
    """Each thread has its own."""
    return [int(each) for path in Path(f"/proc/{pid}/task").glob("*/children") for each in path.read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_workers_that_are_killed_are_replaced_and_an_end_answers_who_waits(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", 4)
    scratch = Path(tempfile.mkdtemp(prefix="s"))  # short: the workers' sockets lie below

    def caption(url: str) -> int:
        with film.open("rb") as file:
            return httpx.post(f"{url}/caption", files={"file": file}, timeout=120, trust_env=False).status_code

    words = ("--checkpoint", "toy-mixed", "--host", "127.0.0.2")  # the address that is printed is one that is answered
    with process(*words, scratch=scratch) as (running, url):
        assert caption(url) == 200
        workers = [worker for forker in children(running.pid) for worker in children(forker)]
        assert len(workers) == 2
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        assert caption(url) == 200
        with ThreadPoolExecutor(8) as clients:
            answers = [clients.submit(caption, url) for _ in range(8)]
            while httpx.get(f"{url}/health", trust_env=False).json()["queue"]["open"] < 8 and not all(
                answer.done() for answer in answers
            ):
                pass
            running.send_signal(signal.SIGTERM)
            assert [answer.result() for answer in answers] == [200] * 8
        assert running.wait(60) == 0
    assert not list(scratch.glob("pseudocap-serve-*"))
    shutil.rmtree(scratch)
