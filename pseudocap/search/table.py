"""Open the LanceDB table of an index: a row for each clip, written by whole files, in one transaction each.

A file that could not be read has a row without a vector, which no search finds. Every row of a file repeats what the
next run compares the file with.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudocap.errors import ConfigError, DataError, first_line
from pseudocap.files.remote import AnyPath, RemotePath

if TYPE_CHECKING:
    import pyarrow

TABLE = "clips"
KEY = ["file", "start"]
STATE = ("file", "size", "mark", "content", "captioned", "error")  # of a file


def clip_schema(dim: int) -> pyarrow.Schema:
    """Return the columns: a clip, its caption and vector, and the state of its file."""
    import pyarrow

    text, real = pyarrow.string(), pyarrow.float64()
    clip = [("file", text), ("start", real), ("end", real), ("caption", text)]
    state = [("size", pyarrow.int64()), ("mark", text), ("content", text), ("captioned", text), ("error", text)]
    vector = pyarrow.field("vector", pyarrow.list_(pyarrow.float32(), dim))
    return pyarrow.schema([*(pyarrow.field(name, kind, nullable=False) for name, kind in (*clip, *state)), vector])


def open_table(index: AnyPath, schema: pyarrow.Schema | None = None) -> Any:
    """Open the table of an index; with a schema it is made where there is none."""
    require_lancedb()
    import lancedb

    try:
        fresh = timedelta(seconds=5 if isinstance(index, RemotePath) else 0)  # how old what is read may be
        database = lancedb.connect(str(index), storage_options=_storage(index), read_consistency_interval=fresh)
        if schema is not None:
            return database.create_table(TABLE, schema=schema, exist_ok=True)
        return database.open_table(TABLE)
    except (ValueError, OSError, RuntimeError) as error:
        raise DataError(
            f"{index} cannot be opened as an index ({first_line(error)}); run `pseudocap index` again"
        ) from (error)


def require_lancedb() -> None:
    """Refuse to go on without LanceDB; it is not imported, which takes a second."""
    if importlib.util.find_spec("lancedb") is None:
        raise ConfigError("an index needs LanceDB: pip install 'pseudocap[search]'")


def _storage(index: AnyPath) -> dict[str, str] | None:
    """Return how LanceDB's own client reaches another endpoint than Amazon's; it reads the credentials itself."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not isinstance(index, RemotePath) or not endpoint:
        return None
    return {"aws_endpoint": endpoint, "allow_http": str(endpoint.startswith("http://")).lower()}


def sql_text(text: str) -> str:
    """Write a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def of_files(files: Iterable[str]) -> str:
    """Write the condition that a row is of one of the files."""
    return f"file IN ({', '.join(map(sql_text, files))})"


def stamp_of(file: str) -> tuple[int, str]:
    """Return the size of a file and what changes with its content: the time of its last change, or its store's tag."""
    if "://" in file:
        return RemotePath(file).stamp()
    state = Path(file).stat()
    return state.st_size, str(state.st_mtime_ns)
