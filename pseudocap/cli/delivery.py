"""Write captions to standard output, to a file for each video, or to one file of all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from pseudocap.cli.caption_records import FolderRecord, Journal, Records, read_written, refuse_other_run, write_table
from pseudocap.cli.checks import refuse_file
from pseudocap.errors import ConfigError
from pseudocap.files.atomic import try_to_write, write_text
from pseudocap.rows import row_line
from pseudocap.types import FileCaptions

FORMATS = ("text", "json", "jsonl", "srt", "vtt", "parquet")
SUFFIX = {"text": ".txt", "json": ".json", "jsonl": ".jsonl", "srt": ".srt", "vtt": ".vtt"}
OF_ALL = {"json": ".jsonl", "jsonl": ".jsonl", "parquet": ".parquet"}  # one file for all videos


@dataclass(kw_only=True, slots=True)
class CaptionDelivery:
    """Take each file's captions as they come. What is for one file of all is gathered and written at the end, also at
    one that comes too early."""

    form: str
    dense: bool
    out: Path | None
    targets: Sequence[Path | None]  # of each file, where there is one for each; None is standard output
    of_all: bool
    checkpoint: str = ""
    run: str = ""
    overwrite: bool = False
    finished: frozenset[int] = frozenset()  # the files whose captions an earlier run has written
    captions: int = 0
    files: int = 0  # whose captions lie in files
    records: dict[str, Records] = field(default_factory=dict)  # of one file of all, by video
    failed: set[str] = field(default_factory=set)
    journal: Journal | None = None
    folder: FolderRecord | None = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Write what is gathered, however it ends. What is to be overwritten goes first, so that the same command
        without --overwrite goes on where one that overwrites was stopped."""
        if self.journal is None:
            self._remove_overwritten()
            if self.folder is not None:
                self.folder.begin()
            yield
            return
        with self.journal.opened(overwrite=self.overwrite):
            self._remove_overwritten()
            self.take_over()  # again: another run may have ended since
            try:
                yield
            finally:
                if self.records:
                    self._write_gathered()
                self.journal.path.unlink()  # unless that failed

    def take_over(self) -> Mapping[str, Records]:
        """Take over what the file and the journal of an interrupted run hold; return the records of the file."""
        if self.journal is None or self.out is None or self.overwrite or not self.run:
            return {}
        written, wrong = read_written(self.out, self.form, "file" if self.form == "json" else "video")
        journaled, wrong_since = self.journal.read()
        self.records = {**written, **journaled}
        self.failed = (wrong - journaled.keys()) | wrong_since
        return written

    def _remove_overwritten(self) -> None:
        for target in self.targets if self.overwrite else ():
            if target is not None:
                target.unlink(missing_ok=True)

    def take(self, number: int, name: str, found: FileCaptions) -> None:
        self.captions += len(found.captions)
        if self.journal is not None:
            self.files += bool(found.captions)
            key, records = self.key(name), self._records(name, found)
            self.records[key] = records
            self.failed = self.failed | {key} if found.error else self.failed - {key}
            self.journal.add(key, records, failed=bool(found.error))
        elif found.captions or self.form in ("json", "jsonl"):
            self._deliver(self.targets[number], name, found)

    def summary(self) -> str:
        """Summarise for people what was written where."""
        if self.form == "parquet":
            return f"{counted(self.captions, 'caption')} in {self.out}"
        return f"captions of {counted(self.files, 'file')} in {self.out}" if self.files else ""

    def key(self, name: str) -> str:
        """Return how rows name a video: by its path from the folder that they lie in, so that both may move."""
        if self.out is None or self.form not in ("jsonl", "parquet") or "://" in name or Path(name).is_absolute():
            return name
        home = self.out.parent if self.of_all else self.out
        return Path(os.path.relpath(name, home)).as_posix()

    def _deliver(self, target: Path | None, name: str, found: FileCaptions) -> None:
        text = self._text(name, found)
        if target is not None:
            write_text(target, text)
            self.files += bool(found.captions)
            if self.folder is not None:
                self.folder.note(target, failed=bool(found.error))
            return
        if self.form == "text" and len(self.targets) > 1:
            text = "".join(f"{name}: {line}\n" for line in text.splitlines())
        print(text, end="", flush=True)

    def _write_gathered(self) -> None:
        assert self.out is not None, "plan_delivery has seen to it"
        rows = [record for records in self.records.values() for record in records]
        if self.form == "parquet":
            write_table(rows, self.out, run=self.run, failed=self.failed)
        else:
            write_text(self.out, "".join(row_line(**row) for row in rows))

    def _records(self, name: str, found: FileCaptions) -> Records:
        from pseudocap.video.caption_text import caption_records

        return caption_records(self._keyed(name, found), self.form, dense=self.dense, **self._by)

    def _text(self, name: str, found: FileCaptions) -> str:
        from pseudocap.video.caption_text import caption_text

        return caption_text(self._keyed(name, found), self.form, dense=self.dense, **self._by)

    def _keyed(self, name: str, found: FileCaptions) -> FileCaptions:
        return replace(found, file=self.key(name))

    @property
    def _by(self) -> dict[str, str]:
        return {"checkpoint": self.checkpoint, "run": self.run}


def form_of(form: str | None, out: Path | None) -> str:
    """Return the format that was asked for, else that of the name of --out, else text."""
    return form or _form_of(out) or "text"


def plan_delivery(
    files: Sequence[tuple[str, Path]],
    *,
    form: str,
    dense: bool,
    out: Path | None,
    checkpoint: str = "",
    run: str = "",
    overwrite: bool = False,
) -> CaptionDelivery:
    """Refuse, before anything is captioned, a path that does not fit the format or that cannot be written to; find what
    an earlier `run` has finished there."""
    targets: Sequence[Path | None] = [None] * len(files)
    named = _form_of(out)
    if form == "parquet" and named != "parquet":
        raise ConfigError("--format parquet writes one table: name it with --out captions.parquet")
    of_all = out is not None and named is not None and out.suffix.lower() == OF_ALL.get(form)
    if out is not None and named not in (None, form) and not of_all:
        raise ConfigError(
            f"--out {out} is named as {named} is, and --format is {form}; let them agree, or name a folder"
        )
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
    delivery = CaptionDelivery(
        form=form, dense=dense, out=out, targets=targets, of_all=of_all, checkpoint=checkpoint, run=run,
        overwrite=overwrite,
    )  # fmt: skip
    if of_all:
        _go_on_in_file(delivery, [name for name, _ in files])
    elif out is not None and named is None:
        _go_on_in_folder(delivery, FolderRecord(folder=out, form=form, run=run, suffix=SUFFIX[form]))
    elif out is not None:
        of_file = f"{run} {Path(files[0][0]).name}"  # its name alone does not say of which video it is
        _go_on_in_folder(delivery, FolderRecord(folder=out.parent, form=out.name, run=of_file, suffix=out.name))
    return delivery


def _go_on_in_file(delivery: CaptionDelivery, names: Sequence[str]) -> None:
    """Take over what the file and the journal of an interrupted run hold; rows of other videos stay as they are."""
    assert delivery.out is not None, "it is one file of all"
    delivery.journal = Journal(delivery.out, delivery.run)
    written = delivery.take_over()
    keys = [delivery.key(name) for name in names]
    for key in keys:
        if any(record.get("run") != delivery.run for record in written.get(key, ())):
            raise refuse_other_run(delivery.out, key)
    finished = delivery.records.keys() - delivery.failed
    delivery.finished = frozenset(number for number, key in enumerate(keys) if key in finished)


def _go_on_in_folder(delivery: CaptionDelivery, folder: FolderRecord) -> None:
    delivery.folder = folder
    if delivery.overwrite or not delivery.run:
        return
    finished = folder.finished([target for target in delivery.targets if target is not None])
    delivery.finished = frozenset(number for number, target in enumerate(delivery.targets) if target in finished)


def _form_of(out: Path | None) -> str | None:
    """Return the format that a file's name implies; None of a folder."""
    if out is None or out.is_dir():
        return None
    forms = {suffix: form for form, suffix in (*OF_ALL.items(), *SUFFIX.items())}  # .jsonl is jsonl before json
    return forms.get(out.suffix.lower())


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
