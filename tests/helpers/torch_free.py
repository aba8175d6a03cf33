"""A process without torch that runs commands one after the other, since to start one for each costs more than they do.

What a command imports stays imported: the first that loads torch is caught, and so is every later one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

HEAVY = "{'torch', 'transformers', 'lightning'}"
CODE = f"""
import contextlib, io, json, os, sys
from pseudocap.cli.main import main
for line in sys.stdin:
    folder, words = json.loads(line)
    os.chdir(folder)
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = main(words)
        except SystemExit as stopped:
            code = stopped.code
    heavy = sorted({HEAVY} & set(sys.modules))
    print(json.dumps([code, out.getvalue(), err.getvalue(), heavy]), flush=True)
"""


class Answer(NamedTuple):
    code: int
    out: str
    err: str
    heavy: list[str]  # the slow libraries that were imported


class TorchFree:
    """`with TorchFree() as commands: commands.run(["caption", "film.mp4"], folder)`."""

    def __enter__(self) -> TorchFree:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.communicate()

    def run(self, words: Sequence[str], folder: Path) -> Answer:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(folder), list(words)]) + "\n")
        self._process.stdin.flush()
        return Answer(*json.loads(self._process.stdout.readline()))
