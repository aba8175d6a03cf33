"""Caption clips with their transcribed speech: the teacher of the ASR baseline."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pseudocap.label.teachers.base import Answer, View
from pseudocap.types import Clip, Transcript


@dataclass(kw_only=True)
class AsrTeacher:
    """Caption a clip with its speech: the segments whose middle lies in it, joined. It needs no frames."""

    transcripts: Mapping[str, Transcript]  # by the file's path or name, with its extension or without
    name: str = "asr"
    revision: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    short_side: int | None = None

    def caption(self, views: Sequence[View]) -> list[Answer]:
        return [Answer(captions=(self._speech(view.clip),)) for view in views]

    def _speech(self, clip: Clip) -> str:
        path = Path(clip.source)
        names = (str(path), str(path.with_suffix("")), path.name, path.stem)
        transcript = next((self.transcripts[name] for name in names if name in self.transcripts), None)
        return speech_in(transcript, clip) if transcript else ""


def speech_in(transcript: Transcript, clip: Clip) -> str:
    """Return the speech of a clip: the segments whose middle lies in it, joined."""
    segments = transcript.segments
    last = bisect.bisect_left(segments, clip.end, key=lambda segment: segment.start)
    heard = (each for each in segments[:last] if clip.start <= (each.start + each.end) / 2 < clip.end)
    return " ".join(segment.text for segment in heard if segment.text)
