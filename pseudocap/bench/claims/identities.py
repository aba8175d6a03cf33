"""Hash files and folders of the user's, so that a cell notices other weights or other tars there."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pseudocap.files.sources import resolve_source

PARTS, PART = 8, 4096  # pieces of a file that it is recognised by, and their bytes


def files_identity(source: str | Path) -> str:
    """Hash a file, or a folder's files, by names, sizes and some of the bytes: hundreds of gigabytes are not
    read. Hidden files do not count: indices are written beside tars. A repo is known by its name."""
    root = Path(resolve_source(str(source))).expanduser()
    if not root.exists():
        return str(source)
    digest = hashlib.sha256()
    for path in [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file()):
        name = path.relative_to(root)
        if any(part.startswith(".") for part in name.parts):
            continue
        size = path.stat().st_size
        digest.update(f"{name.as_posix()} {size}\n".encode())
        with path.open("rb") as file:
            for part in range(PARTS):
                file.seek(max(0, size - PART) * part // (PARTS - 1))
                digest.update(file.read(PART))
    return digest.hexdigest()
