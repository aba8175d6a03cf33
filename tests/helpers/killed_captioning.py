"""`killed_captioning.py WORD...`: run `pseudocap caption WORD...`, and die by SIGKILL as the second file is written,
with half a line of the journal on disk."""

from __future__ import annotations

import os
import signal
import sys

from pseudocap.caption_files import FileCaptions
from pseudocap.cli.delivery import CaptionDelivery
from pseudocap.cli.main import main

deliver, seen = CaptionDelivery.take, []


def die(self: CaptionDelivery, number: int, file: str, found: FileCaptions) -> None:
    seen.append(file)
    if len(seen) == 2 and self.journal is not None:
        os.write(self.journal._file.fileno(), b'{"file": "incompl')
    if len(seen) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    deliver(self, number, file, found)


CaptionDelivery.take = die  # type: ignore[method-assign]
sys.exit(main(["caption", *sys.argv[1:]]))
