"""A bar on stderr leaves standard output alone."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
from pseudocap.cli.progress import progress_of, stages_of
with progress_of("captioning", "files") as progress:
    print("a dog runs")
    progress(1, 1)
with stages_of("demo") as stages:
    stages.draw("films", 1, 1)
    print("a cat sleeps")
"""


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_printed_beside_a_bar_goes_where_the_user_sends_it(terminal: bool, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        subprocess.run([sys.executable, "-c", CODE], stdout=out, stderr=theirs if terminal else err, check=True)
    os.close(theirs)
    os.close(ours)
    assert (tmp_path / "out").read_text() == "a dog runs\na cat sleeps\n"
