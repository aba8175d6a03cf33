"""Write captions to standard output, to a file for each video, or to one file of all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.cli.checks import refuse_file
from pseudocap.errors import ConfigError
from pseudocap.files.atomic import try_to_write, unfinished, write_text

if TYPE_CHECKING:
    from pseudocap.caption_files import FileCaptions

FORMATS = ("text", "json", "srt", "vtt", "parquet")
SUFFIX = {"text": ".txt", "json": ".json", "srt": ".srt", "vtt": ".vtt"}
OF_ALL = {"json": ".jsonl", "parquet": ".parquet"}  # one file for all videos


@dataclass(kw_only=True, slots=True)
class CaptionDelivery:
    """Take each file's captions as they come. What is for one file of all is gathered and written at the end, also at
    one that comes too early."""

    form: str
    dense: bool
    out: Path | None
    targets: Sequence[Path | None]  # of each file, where there is one for each; None is standard output
    of_all: bool
    captions: int = 0
    files: int = 0  # whose captions lie in files
    rows: list[dict[str, Any]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    @contextmanager
    def kept(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            if self.rows or self.lines:
                self._write_gathered()
            raise
        if self.of_all:
            self._write_gathered()

    def take(self, number: int, name: str, found: FileCaptions) -> None:
        self.captions += len(found.captions)
        if self.of_all:
            self.files += 1
            if self.form == "parquet":
                self.rows += _rows(name, found)
            else:
                self.lines.append(_formatted(name, found, self.form, self.dense))
        elif found.captions or self.form == "json":
            self._deliver(self.targets[number], name, _formatted(name, found, self.form, self.dense))

    def summary(self) -> str:
        """Summarise for people what was written where."""
        if self.form == "parquet":
            return f"{counted(self.captions, 'caption')} in {self.out}"
        return f"captions of {counted(self.files, 'file')} in {self.out}" if self.files else ""

    def _deliver(self, target: Path | None, name: str, text: str) -> None:
        if target is not None:
            write_text(target, text)
            self.files += 1
            return
        if self.form == "text" and len(self.targets) > 1:
            text = "".join(f"{name}: {line}\n" for line in text.splitlines())
        print(text, end="", flush=True)

    def _write_gathered(self) -> None:
        assert self.out is not None, "plan_delivery has seen to it"
        if self.form == "parquet":
            _write_table(self.rows, self.out)
        else:
            write_text(self.out, "".join(self.lines))


def plan_delivery(files: Sequence[tuple[str, Path]], *, form: str, dense: bool, out: Path | None) -> CaptionDelivery:
    """Refuse, before anything is captioned, a path that does not fit the format or that cannot be written to."""
    targets: Sequence[Path | None] = [None] * len(files)
    named = _form_of(out)
    if form == "parquet" and named != "parquet":
        raise ConfigError("--format parquet writes one table: name it with --out captions.parquet")
    if out is not None and named not in (None, form):
        raise ConfigError(
            f"--out {out} is named as {named} is, and --format is {form}; let them agree, or name a folder"
        )
    of_all = out is not None and named is not None and out.suffix.lower() == OF_ALL.get(form)
    if out is not None and named is not None:
        if len(files) > 1 and not of_all:
            other = f", or a file that ends in {OF_ALL[form]}" if form in OF_ALL else ""
            raise ConfigError(f"--out {out} is one file, and {len(files)} are captioned; name a folder{other}")
        try_to_write(out)
        targets = [out]
    elif out is not None:
        targets = in_folder(files, out, SUFFIX[form], "--out")
    elif form in ("srt", "vtt") and len(files) > 1:
        raise ConfigError(f"--format {form} of several files needs --out DIR: one file for each")
    return CaptionDelivery(form=form, dense=dense, out=out, targets=targets, of_all=of_all)


def _form_of(out: Path | None) -> str | None:
    """Return the format that a file's name implies; None of a folder."""
    if out is None or out.is_dir():
        return None
    return next((form for form, suffix in (*SUFFIX.items(), *OF_ALL.items()) if suffix == out.suffix.lower()), None)


def in_folder(files: Sequence[tuple[str, Path]], folder: Path, suffix: str, option: str) -> list[Path]:
    """Return a file for each. Nothing is overwritten by another's."""
    refuse_file(option, folder)
    taken: dict[str, str] = {}
    for name, _ in files:
        target = Path(name).stem + suffix
        if target in taken:
            raise ConfigError(
                f"{taken[target]} and {name} would both be written to {folder / target}; caption them apart"
            )
        taken[target] = name
    try_to_write(folder / "captions")
    return [folder / target for target in taken]


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _rows(name: str, found: FileCaptions) -> list[dict[str, Any]]:
    return [{"video": name, "start": each.start, "end": each.end, "caption": each.text} for each in found.captions]


def _write_table(rows: list[dict[str, Any]], target: Path) -> None:
    """Write what `datasets.load_dataset("parquet", data_files=...)` reads: a row for each caption."""
    import pyarrow as pa
    from pyarrow import parquet

    kinds = [("video", pa.string()), ("start", pa.float64()), ("end", pa.float64()), ("caption", pa.string())]
    with unfinished(target) as scratch:
        parquet.write_table(pa.Table.from_pylist(rows, schema=pa.schema(kinds)), scratch)


def _formatted(name: str, found: FileCaptions, form: str, dense: bool) -> str:
    from pseudocap.video.subtitles import clock, to_srt, to_vtt

    if form == "srt":
        return to_srt(found.captions)
    if form == "vtt":
        return to_vtt(found.captions)
    if form == "json":
        captions = [{"start": each.start, "end": each.end, "text": each.text} for each in found.captions]
        document = {"file": name, "captions": captions} | ({"error": found.error} if found.error else {})
        return json.dumps(document, ensure_ascii=False) + "\n"
    if dense:
        return "".join(f"{clock(each.start)} - {clock(each.end)}  {each.text}\n" for each in found.captions)
    return "".join(f"{each.text}\n" for each in found.captions)
