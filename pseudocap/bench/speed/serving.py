"""Load the service with clients of its own: `python -m pseudocap.bench.speed.serving race | load`.

`race` captions short films by many clients at once, the start of the service included, beside a process for each file
(`pseudocap caption FILE`), of which only a few are run and the others extrapolated. `load` sends thousands of requests,
every tenth of which is wrong in some way: not a video, too large, or given up by its client; and reports how each was
answered, how long answers took, and the memory and the open files of the service's processes in between.
"""

from __future__ import annotations

import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import httpx

from pseudocap.bench.speed.measure import Timing, parser_of
from pseudocap.bench.speed.memories import write_film
from pseudocap.bench.tables import head, row

MAX_UPLOAD = 1  # MB, in `load`
LOOKS = 4  # at what the service holds, in `load`
PROCESSES = 3  # that are run for one file each; the others are extrapolated


@contextmanager
def running(checkpoint: str, *words: str) -> Iterator[tuple[int, str]]:
    """Start the service as its users do; its process and its address. It must end as a success."""
    command = (sys.executable, "-m", "pseudocap", "serve", "--checkpoint", checkpoint, "--port", "0", *words)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = re.search(r"http://\S+", process.stdout.readline())
        if found is None:
            raise RuntimeError("the service has not started")
        yield process.pid, found[0]
        process.terminate()
        if process.wait(120) != 0:
            raise RuntimeError(f"the service ended with {process.returncode}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def in_threads(run: Callable[[int], None], numbers: Iterable[int], clients: int) -> None:
    """Call a function with each number, as so many clients at once (more than a Pool has threads)."""
    left, failures, lock = iter(numbers), list[Exception](), threading.Lock()

    def client() -> None:
        while True:
            with lock:
                number = next(left, None)
            if number is None or failures:
                return
            try:
                run(number)
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def captioned(files: Sequence[Path], checkpoint: str, *, clients: int) -> None:
    """Start the service and caption files, each as an upload."""
    with running(checkpoint, "--device", "cpu") as (_, url), httpx.Client(trust_env=False, timeout=600) as client:

        def post(number: int) -> None:
            client.post(f"{url}/caption", files={"file": files[number].read_bytes()}).raise_for_status()

        in_threads(post, range(len(files)), clients)


def race(folder: Path, rounds: int, count: int, checkpoint: str = "real-photos") -> Mapping[str, Timing]:
    """Time `count` films of 4 s by the service, and by a process for each."""
    films = [folder / f"{number}.mp4" for number in range(count)]
    for number, film in enumerate(films):
        write_film(film, number, seconds=4)
    ours, theirs = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        captioned(films, checkpoint, clients=16)
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        for film in films[:PROCESSES]:
            command = (sys.executable, "-m", "pseudocap", "caption", film, "--checkpoint", checkpoint)
            subprocess.run((*command, "--device", "cpu"), check=True, capture_output=True)
        theirs.append((time.perf_counter() - began) * count / PROCESSES)
    return {"ours": _timing(ours), "a process for each file": _timing(theirs)}


def _timing(seconds: Sequence[float]) -> Timing:
    median = statistics.median(seconds)
    # The processor time is that of other processes, which nobody has counted: as long as they ran.
    return Timing(median=median, fastest=min(seconds), slowest=max(seconds), processor=median, each=tuple(seconds))


@dataclass(kw_only=True)
class LoadReport:
    """Hold how requests were answered (kind, status), the seconds of the good ones, and what processes held when."""

    answers: list[tuple[str, int]] = field(default_factory=list)  # which threads may append to at once
    seconds: list[float] = field(default_factory=list)
    held: list[tuple[int, float, int]] = field(default_factory=list)  # after so many requests: MiB, open files
    took: float = 0.0

    def percentile(self, share: float) -> float:
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


def load(folder: Path, checkpoint: str, *, count: int, clients: int) -> LoadReport:
    """Send requests of every kind in a drawn order, and look LOOKS times at what the service holds."""
    bodies = {"film": [], "no video": [b"no film" * 100], "too large": [bytes((MAX_UPLOAD + 1) * 2**20)]}
    for number in range(8):
        write_film(folder / f"{number}.mp4", number, seconds=1 + number % 4)
        bodies["film"].append((folder / f"{number}.mp4").read_bytes())
    kinds = random.Random(0).choices(["film", "no video", "too large", "gone"], [90, 4, 3, 3], k=count)
    report = LoadReport()
    words = ("--device", "cpu", "--max-upload", str(MAX_UPLOAD), "--queue", str(2 * clients))
    with running(checkpoint, *words) as (pid, url), httpx.Client(trust_env=False, timeout=600) as client:

        def post(number: int) -> None:
            kind = kinds[number]
            if kind == "gone":
                _give_up(url, bodies["film"][number % 8])
                report.answers.append((kind, 0))
                return
            body = bodies[kind][number % len(bodies[kind])]
            began = time.perf_counter()
            answer = client.post(f"{url}/caption", files={"file": body}, data={"max_new_tokens": "12"})
            if answer.status_code == 200:
                report.seconds.append(time.perf_counter() - began)
            report.answers.append((kind, answer.status_code))

        began = time.perf_counter()
        ends = [look * count // LOOKS for look in range(LOOKS + 1)]
        for first, end in pairwise(ends):
            in_threads(post, range(first, end), clients)
            _wait_until_idle(client, url)
            report.held.append((end, *held_by(pid)))
        report.took = time.perf_counter() - began
    return report


def _give_up(url: str, body: bytes) -> None:
    """Send a request and close the connection without waiting for its answer."""
    request = httpx.Request("POST", f"{url}/caption", files={"file": body})
    sent = request.read()
    head_lines = [f"{name}: {value}" for name, value in request.headers.items()]
    with socket.create_connection((request.url.host, request.url.port or 80)) as line:
        line.sendall("\r\n".join(["POST /caption HTTP/1.1", *head_lines, "", ""]).encode() + sent)


def _wait_until_idle(client: httpx.Client, url: str) -> None:
    while client.get(f"{url}/health").json()["queue"]["open"]:
        time.sleep(0.05)
    time.sleep(0.5)


def held_by(pid: int) -> tuple[float, int]:
    """Return the MiB and the open files of a process and of all below it (Linux)."""
    memory, files, waiting = 0.0, 0, [pid]
    while waiting:
        process = Path("/proc") / str(waiting.pop())
        status = (process / "status").read_text()
        memory += int(re.findall(r"^VmRSS:\s+(\d+)", status, re.MULTILINE)[0]) / 2**10
        files += len(os.listdir(process / "fd"))  # noqa: PTH208 - iterdir would count as long
        for children in process.glob("task/*/children"):
            waiting += [int(each) for each in children.read_text().split()]
    return memory, files


def print_report(report: LoadReport) -> None:
    print(head("request", "answer", "how often"))
    for (kind, status), times in sorted(Counter(report.answers).items()):
        print(row(kind, status or "not waited for", times))
    rate = len(report.answers) / report.took
    print(f"\n{rate:.1f} requests a second; p50 {report.percentile(0.5):.2f} s, p99 {report.percentile(0.99):.2f} s\n")
    print(head("after requests", "MiB", "open files"))
    for count, memory, files in report.held:
        print(row(f"{count:,}", f"{memory:.0f}", files))


def main() -> None:
    parser = parser_of("serving", __doc__)
    parser.add_argument("action", choices=("race", "load"))
    parser.add_argument("--checkpoint", default="toy-mixed")
    parser.add_argument("--count", type=int, default=200, help="films of a race, requests of a load (200)")
    parser.add_argument("--clients", type=int, default=16, help="that wait at once, in `load` (16)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.action == "load":
            print_report(load(Path(folder), args.checkpoint, count=args.count, clients=args.clients))
            return
        timings = race(Path(folder), 1, args.count, args.checkpoint)
    print(head("way", "seconds", "files a second"))
    for name, timing in timings.items():
        print(row(name, f"{timing.median:.1f}", f"{args.count / timing.median:.2f}"))


if __name__ == "__main__":
    main()
