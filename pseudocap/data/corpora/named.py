"""Read the corpus that a word of the command line names: your captions by their path, or official annotations in a
folder, as `msrvtt:DIR`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pseudocap.data.corpora.activitynet import read_activitynet
from pseudocap.data.corpora.audiocaps import read_audiocaps
from pseudocap.data.corpora.av_qa import read_avqa, read_music_avqa, read_vqav2
from pseudocap.data.corpora.base import Corpus
from pseudocap.data.corpora.clotho import read_clotho
from pseudocap.data.corpora.didemo import read_didemo
from pseudocap.data.corpora.msrvtt import read_msrvtt
from pseudocap.data.corpora.msrvtt_1ka import read_msrvtt_1ka, read_msrvtt_1ka_7k
from pseudocap.data.corpora.msvd import read_msvd
from pseudocap.data.corpora.own import read_own
from pseudocap.data.corpora.questions import read_questions, read_valor_qa
from pseudocap.data.corpora.valor import read_valor_1m, read_valor_32k
from pseudocap.data.corpora.vatex import read_vatex, read_vatex_zh
from pseudocap.data.corpora.video_qa import read_activitynet_qa, read_msrvtt_qa, read_msvd_qa, read_tgif_frameqa
from pseudocap.data.corpora.videocc import read_videocc
from pseudocap.errors import InputError, nearest

OF_QUESTIONS: dict[str, Callable[..., Corpus]] = {
    "msrvtt-qa": read_msrvtt_qa,
    "msvd-qa": read_msvd_qa,
    "activitynet-qa": read_activitynet_qa,
    "tgif-frameqa": read_tgif_frameqa,
    "vqav2": read_vqav2,
    "music-avqa": read_music_avqa,
    "avqa": read_avqa,
    "valor-qa": read_valor_qa,
    "questions": read_questions,  # your own
}
OFFICIAL: dict[str, Callable[..., Corpus]] = {
    "msrvtt": read_msrvtt,
    "msrvtt-1ka": read_msrvtt_1ka,
    "msrvtt-1ka-7k": read_msrvtt_1ka_7k,
    "msvd": read_msvd,
    "vatex": read_vatex,
    "vatex-zh": read_vatex_zh,
    "activitynet": read_activitynet,
    "didemo": read_didemo,
    "audiocaps": read_audiocaps,
    "clotho": read_clotho,
    "valor-32k": read_valor_32k,
    "valor-1m": read_valor_1m,
    "videocc": read_videocc,
    **OF_QUESTIONS,
}
CORPORA = (*OFFICIAL, "own")
OF_SOUND = ("audiocaps", "clotho")  # whose files may be sounds as well as videos


@dataclass(frozen=True, slots=True)
class NamedCorpus:
    """Name a corpus by its kind, and by where its annotations lie."""

    kind: str
    path: Path

    @classmethod
    def of(cls, word: str) -> Self:
        """Parse KIND:PATH, or the path of your own captions; a file of that very name goes before a kind."""
        kind, colon, path = word.partition(":")
        if colon and path and kind in CORPORA and not Path(word).exists():
            return cls(kind, Path(path))
        return cls("own", Path(word))

    def __str__(self) -> str:
        return str(self.path) if self.kind == "own" else f"{self.kind}:{self.path}"

    @property
    def short(self) -> str:
        """Return its name without the folder where it lies on this machine."""
        return self.path.name if self.kind == "own" else f"{self.kind}:{self.path.name}"

    @property
    def asks(self) -> bool:
        """Return whether it is of questions, whose captions are answers."""
        return self.kind in OF_QUESTIONS

    @property
    def folder(self) -> Path:
        """Return where the videos lie unless somebody says otherwise: beside the annotations, or below them."""
        return self.path if self.path.is_dir() else self.path.parent

    def require(self, option: str) -> None:
        """Refuse what is not there, in the name of the option that it was given to."""
        if self.path.exists():
            return
        kind, colon, _ = str(self.path).partition(":")
        hint = nearest(kind, CORPORA) if colon and self.kind == "own" else ""
        raise InputError(f"{option} {self}: there is no such file or folder{hint}")

    def read(self, *, split: str, allow_partial: bool = False) -> Corpus:
        """Read it; `split` is that of your own rows that name none."""
        if self.kind == "own":
            return read_own(self.path, split=split, allow_partial=allow_partial)
        if self.kind == "questions":
            return read_questions(self.path, split=split, allow_partial=allow_partial)
        return OFFICIAL[self.kind](self.path, allow_partial=allow_partial)
