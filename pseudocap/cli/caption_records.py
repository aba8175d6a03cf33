"""Keep what `pseudocap caption` has finished, so that the same command goes on where it was stopped.

A folder of captions gets its files one by one, each complete when it is there, and `.captions.json`, which records the
run (a hash of its settings) and whose files had an error. One file of all captions is written at the end; until then
`.NAME.journal` beside it has a line for each file that was captioned, so that `kill -9` costs the batch at hand alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pseudocap.errors import ConfigError, DataError
from pseudocap.files.atomic import unfinished, write_text
from pseudocap.files.journal import SharedJournal, append_entry, drop_torn_end
from pseudocap.files.lock import busy, held, take_lock
from pseudocap.rows import read_records

Records = list[dict[str, Any]]  # what is written of one file
METADATA = b"pseudocap_captions"
FOLDER_RECORD, FOLDER_LOCK = ".captions.json", ".captions.lock"


def hash_run(settings: Mapping[str, object]) -> str:
    """Return the name of a run: a hash of everything that its captions depend on."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def refuse_other_run(out: Path, name: str) -> ConfigError:
    return ConfigError(
        f"--out {out} holds captions of {name} that this command would not write: of another captioner, other options "
        "or another file, or by hand; name another --out, or add --overwrite to replace them"
    )


@dataclass(kw_only=True)
class FolderRecord:
    """Record which run the files of a folder are of, whose captions have an error and are tried again, and which
    `others` were there before that run. Several commands may write to one folder at once. `form` is the format of all,
    or the name of a single file of captions, which has a run of its own."""

    folder: Path
    form: str
    run: str
    suffix: str

    def finished(self, targets: Collection[Path]) -> set[Path]:
        """Return the files that need not be written again; refuse those of another run."""
        there = {target for target in targets if target.is_file()}
        found = self._document().get(self.form, {})
        if others := [each for each in there if found.get("run") != self.run or each.name in found.get("others", ())]:
            single = self.folder / self.form
            raise refuse_other_run(single if single in others else self.folder, min(others).name)
        return {target for target in there if target.name not in found.get("failed", ())}

    def begin(self) -> None:
        """Record the run, before it writes a file."""
        with self._changed():
            pass

    def note(self, target: Path, *, failed: bool) -> None:
        with self._changed() as mine:
            for kind, belongs in (("failed", failed), ("others", False)):
                if belongs != (target.name in mine[kind]):
                    mine[kind] = sorted({*mine[kind]} ^ {target.name})

    @contextmanager
    def _changed(self) -> Iterator[dict[str, Any]]:
        with held(self.folder / FOLDER_LOCK):
            document = self._document()
            before = document.get(self.form, {})
            if before.get("run") == self.run:
                mine = {"failed": [], "others": [], **before}
            else:
                others = sorted(path.name for path in self.folder.glob(f"[!.]*{self.suffix}"))
                mine = {"run": self.run, "failed": [], "others": others}
            yield mine
            if mine != before:
                write_text(self.folder / FOLDER_RECORD, json.dumps({**document, self.form: mine}) + "\n")

    def _document(self) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / FOLDER_RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


class Journal:
    """Keep the records of one file of all captions, a line a file, until that is written."""

    def __init__(self, out: Path, run: str) -> None:
        self.out, self.run = out, run
        self.path = out.with_name(f".{out.name}.journal")

    def read(self) -> tuple[dict[str, Records], set[str]]:
        """Return the records by file, and whose have an error; a line that a killed run left incomplete is none."""
        head, *lines = SharedJournal(self.path).news() or [{}]
        if lines and head.get("run") != self.run:
            raise refuse_other_run(self.out, lines[0]["file"])
        found = {line["file"]: line for line in lines}
        return {name: line["records"] for name, line in found.items()}, {
            name for name in found if found[name]["failed"]
        }

    @contextmanager
    def opened(self, *, overwrite: bool) -> Iterator[None]:
        """Append to it, one run at a time."""
        self.out.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b", buffering=0) as self._file:
            take_lock(self._file, self.out)
            if not os.fstat(self._file.fileno()).st_nlink:  # removed by a run that ended just now
                raise busy(self.out, b"")
            drop_torn_end(self._file)
            self._file.seek(0)
            if overwrite or len(self._file.readlines()) < 2:  # a head alone may be that of another run
                self._file.truncate(0)
                append_entry(self._file, {"run": self.run})
            yield

    def add(self, name: str, records: Records, *, failed: bool) -> None:
        append_entry(self._file, {"file": name, "records": records, "failed": failed})


def read_written(out: Path, form: str, key: str) -> tuple[dict[str, Records], set[str]]:
    """Return the records of a file of all captions by the field that names their file, and whose have an error."""
    records: dict[str, Records] = {}
    if not (out.is_file() and out.stat().st_size):
        return records, set()
    about: dict[str, Any] = {}
    rows = list(read_records(out))
    if form == "parquet":
        from pyarrow import parquet

        about = json.loads((parquet.read_schema(out).metadata or {}).get(METADATA, b"{}"))
    run, others, failed = about.get("run", ""), about.get("others", {}), set(about.get("failed", ()))
    for where, record in rows:
        if not isinstance(record, dict) or not isinstance(name := record.get(key), str):
            raise DataError(f"{where}: the field {key!r} is missing, so this is no file that --out can go on with")
        records.setdefault(name, []).append({**record, "run": others.get(name, run)} if form == "parquet" else record)
        if record.get("error"):
            failed.add(name)
    return records, failed


def write_table(rows: Records, target: Path, *, run: str, failed: Collection[str]) -> None:
    """Write what `datasets.load_dataset("parquet", data_files=...)` reads: a row for each caption."""
    import pyarrow as pa
    from pyarrow import parquet

    kinds = [("video", pa.string()), ("start", pa.float64()), ("end", pa.float64()), ("caption", pa.string())]
    others = {row["video"]: row["run"] for row in rows if row.get("run", run) != run}
    about = json.dumps({"version": 1, "run": run, "failed": sorted(failed), "others": others})
    schema = pa.schema(kinds, metadata={METADATA: about.encode()})
    with unfinished(target) as scratch:
        parquet.write_table(pa.Table.from_pylist(rows, schema=schema), scratch)
