"""A verb that serves a page, as its own process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def page_of(*words: str, env: Mapping[str, str] | None = None, last_words: str = "") -> Iterator[str]:
    """The address that it prints first; in the end Ctrl-C, after which it must be done, with these words."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pseudocap", *words],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | dict(env or {}),
        # A shell starts what it runs in the background with Ctrl-C ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found, "the server has not said where it is"
        yield found[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert last_words in process.stdout.read()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
