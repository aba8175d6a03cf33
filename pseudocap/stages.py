"""Run a long build as stages: each has a folder of its own, runs once, and resumes where it was killed.

What determines a stage (its settings, and those of all stages it needs) is hashed into `done.json`, which is written
last. A stage whose hash has changed is made anew.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pseudocap.errors import DataError, Interrupted
from pseudocap.files.atomic import write_text
from pseudocap.types import Progress, StageProgress

DONE = "done.json"
INTERRUPTED = (128 + signal.SIGINT, 128 + signal.SIGTERM)  # exit codes
State = Literal["finished", "begun", "missing", "other"]  # other: made by other settings


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Define a stage: `make` fills the folder and returns its report; the content depends on `settings` alone."""

    name: str
    settings: Mapping[str, Any]
    make: Callable[[Path, Progress], Mapping[str, Any]]
    needs: Sequence[str] = ()


@dataclass(kw_only=True)
class Workshop:
    """Run stages in one folder, and hold what each has reported."""

    root: Path
    main: Callable[[Sequence[str]], int]  # the command line, passed in by the caller
    progress: StageProgress = lambda what, done, total: None
    log: Callable[[str], None] = lambda text: None
    on_line: Callable[[str], None] | None = None  # what the stages' verbs report on the way, line by line
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)

    def folder(self, name: str) -> Path:
        return self.root / name

    def run(self, stages: Sequence[Stage]) -> None:
        hashes = hashes_of(stages)
        for stage in stages:
            self.reports[stage.name] = self._finished(stage, hashes[stage.name]) or self._made(
                stage, hashes[stage.name]
            )

    def states(self, stages: Sequence[Stage]) -> dict[str, State]:
        """Return what a run would find of each stage, without changing any."""
        return {name: self._state(name, wanted) for name, wanted in hashes_of(stages).items()}

    def _state(self, name: str, wanted: str) -> State:
        folder = self.folder(name)
        begun = folder / ".begun"
        if not folder.is_dir():
            return "missing"
        if not begun.is_file() or begun.read_text(encoding="utf-8") != wanted:
            return "other"
        return "finished" if (folder / DONE).is_file() else "begun"

    def _finished(self, stage: Stage, wanted: str) -> dict[str, Any] | None:
        state = self._state(stage.name, wanted)
        if state == "other":
            shutil.rmtree(self.folder(stage.name))
        if state != "finished":
            return None
        document: dict[str, Any] = json.loads((self.folder(stage.name) / DONE).read_text(encoding="utf-8"))
        self.log(f"{stage.name}: done before")
        return document

    def _made(self, stage: Stage, wanted: str) -> dict[str, Any]:
        folder = self.folder(stage.name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".begun").write_text(wanted, encoding="utf-8")
        self.progress(stage.name, 0, 0)  # some stages report nothing until they end
        started, begun_by = time.monotonic(), commit()
        report = dict(stage.make(folder, lambda done, total: self.progress(stage.name, done, total)))
        report |= {"seconds": round(time.monotonic() - started, 1), "commit": begun_by}
        write_text(folder / DONE, json.dumps(report, indent=1) + "\n")
        self.log(f"{stage.name}: done in {report['seconds']:,.0f} s")
        return report

    def verb(self, *words: str | Path, accepted: Sequence[int] = (0,)) -> None:
        """Run a verb as a user would, in the build's folder, so that the paths in its files are relative to it."""
        output, errors = io.StringIO(), io.StringIO() if self.on_line is None else _Lines(self.on_line)
        with contextlib.chdir(self.root), contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            code = self.main([str(word) for word in words])
        if code in INTERRUPTED:
            raise Interrupted("", code - 128)  # which says nothing that the verb has not
        if code not in accepted:
            last = "; ".join((errors.getvalue() or output.getvalue()).strip().splitlines()[-3:])
            raise DataError(f"{last}; fix that, and run the same again (`{command_text(words)}` failed in {self.root})")


class _Lines(io.StringIO):
    """Keep what is written, and pass on each line as it is complete, while the real stderr is in place again."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        super().__init__()
        self._on_line, self._stderr, self._line = on_line, sys.stderr, ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        with contextlib.redirect_stderr(self._stderr):
            for line in filter(str.strip, lines):
                self._on_line(line)
        return super().write(text)


def hashes_of(stages: Sequence[Stage]) -> dict[str, str]:
    """Hash what determines each stage: its settings, and the hashes of all stages it needs."""
    hashes: dict[str, str] = {}
    for stage in stages:
        content = {"settings": stage.settings, "needs": {name: hashes[name] for name in stage.needs}}
        hashes[stage.name] = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
    return hashes


def command_text(words: Sequence[str | Path]) -> str:
    return " ".join(["pseudocap", *map(str, words)])


@functools.cache
def commit() -> str:
    """Return the commit of the checkout that this runs from, and a hash of what has changed in the package since. Empty
    for an installation (also for one inside another project's checkout), and where there is no git."""
    here = Path(__file__).resolve()
    if shutil.which("git") is None:
        return ""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=here.parent, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    if not git("ls-files", "--error-unmatch", here.name):
        return ""
    changes = git("diff", "HEAD", "--", str(here.parent))
    changed = f"-changed-{hashlib.sha256(changes.encode()).hexdigest()[:8]}" if changes else ""
    return git("rev-parse", "HEAD") + changed
