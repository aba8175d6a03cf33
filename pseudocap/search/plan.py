"""Compare the files of a run with those of an index: what is new, changed, moved or gone, and what stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pseudocap.errors import first_line
from pseudocap.files.reading import sha256_of
from pseudocap.files.remote import RemotePath
from pseudocap.search.table import stamp_of


@dataclass(frozen=True, kw_only=True, slots=True)
class FileState:
    """Hold what an index knows of a file: its size, the mark of its last change, a hash of its content and of the
    captions that were given for it, and what was wrong with it."""

    size: int
    mark: str
    content: str = ""
    captioned: str = ""
    error: str = ""


@dataclass(kw_only=True, slots=True)
class IndexPlan:
    """Hold what a run has to do. `moved` maps the former name of a file to its new one; so does `renewed`, of all files
    whose rows change without their being read: moved, of another time and the same content, or with new captions."""

    states: dict[str, FileState] = field(default_factory=dict)
    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    recaptioned: set[str] = field(default_factory=set)
    unchanged: list[str] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)
    renewed: dict[str, str] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def todo(self) -> list[str]:
        """Return the files that are to be read."""
        return [*self.new, *self.changed]


def plan_index(
    files: Iterable[str],
    known: Mapping[str, FileState],
    *,
    below: Sequence[str],
    captioned: Callable[[str], str | None],
    retry_failed: bool = False,
) -> IndexPlan:
    """Plan a run over files. `captioned` gives the hash of a file's captions, None where they stay as they are.

    A file that is not there any more is gone where it lay below one of the folders that this run is of.
    """
    plan = IndexPlan()
    files = dict.fromkeys(files)
    missing = {
        file: state
        for file, state in known.items()
        if file not in files and _is_below(file, below) and not _exists(file)
    }
    for file, size, mark in _stamped(files, plan.unreadable):
        former, before = file, known.get(file)
        plan.states[file] = FileState(size=size, mark=mark, captioned=captioned(file) or "")
        if before is None and (old := _same_content(file, size, missing)):
            former, before = old, replace(missing.pop(old), mark=mark)
            plan.moved[former] = plan.renewed[former] = file
        elif before is not None and before.size == size and before.mark != mark and _same(file, before):
            before = replace(before, mark=mark)
            plan.renewed[file] = file
        if before is None:
            plan.new.append(file)
        elif (before.size, before.mark) != (size, mark) or (before.error and retry_failed):
            plan.changed.append(file)
        else:
            plan.states[file] = before
            if (now := captioned(file)) not in (None, before.captioned):
                plan.states[file] = replace(before, captioned=now or "")
                plan.recaptioned.add(file)
                plan.renewed[former] = file
            elif former == file:
                plan.unchanged.append(file)
    plan.gone = list(missing)
    return plan


def _stamped(files: Iterable[str], unreadable: dict[str, str]) -> Iterator[tuple[str, int, str]]:
    """Yield the files with their sizes and marks; why one has none goes to `unreadable`."""
    for file in files:
        try:
            file.encode()
            yield file, *stamp_of(file)
        except UnicodeEncodeError:
            unreadable[file] = f"{file}: its name is not UTF-8, which an index needs; rename it"
        except OSError as error:
            unreadable[file] = f"{file}: it cannot be read: {first_line(error)}"


def _is_below(file: str, folders: Sequence[str]) -> bool:
    return any(file == folder or file.startswith(f"{folder.rstrip('/')}/") for folder in folders)


def _exists(file: str) -> bool:
    return RemotePath(file).exists() if "://" in file else Path(file).exists()


def _same_content(file: str, size: int, missing: Mapping[str, FileState]) -> str | None:
    """Return which of the missing files this one is, under another name."""
    candidates = [old for old, state in missing.items() if state.size == size and state.content]
    if not candidates or "://" in file:
        return None
    content = _content(file)
    return next((old for old in candidates if missing[old].content == content), None)


def _same(file: str, before: FileState) -> bool:
    return bool(before.content) and "://" not in file and _content(file) == before.content


def _content(file: str) -> str:
    try:
        return sha256_of(Path(file))
    except OSError:  # which is reported when it is read
        return ""
