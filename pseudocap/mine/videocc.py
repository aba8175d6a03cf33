"""Write mined labels as VideoCC's own file: the address of a video, start and end in microseconds, a caption.

Its reader is `pseudocap/data/corpora/videocc.py`, wherever a corpus may be named (`videocc:FILE`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from pseudocap.errors import ConfigError
from pseudocap.files.atomic import write_text
from pseudocap.types import Pseudolabel

COLUMNS = ("video_url", "start_us", "end_us", "caption")
YOUTUBE = "https://www.youtube.com/watch?v={}"


def write_videocc(path: Path, labels: Iterable[Pseudolabel], *, address: str = YOUTUBE) -> int:
    """Write a line for every clip and caption that no filter objects to; return how many. In `address` the name of a
    video's file without its extension stands for {}."""
    require_address(address)
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    count = 0
    for label in labels:
        if label.kept:
            start, end = (round(seconds * 1_000_000) for seconds in (label.clip.start, label.clip.end))
            video = address.replace("{}", PurePosixPath(label.clip.source).stem)
            lines.writerows((video, start, end, caption) for caption in label.captions)
            count += len(label.captions)
    write_text(path, text.getvalue())
    return count


def require_address(address: str) -> None:
    """Raise ConfigError where an address does not say where the name of a video stands."""
    if "{}" not in address:
        raise ConfigError(
            f"--video-address is {address!r} and must hold {{}} for the name of a video, as {YOUTUBE} does"
        )
