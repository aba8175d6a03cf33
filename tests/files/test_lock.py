from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pseudocap.errors import DataError
from pseudocap.files.lock import LOCK, locked

HOLD = """
import sys, time
from pathlib import Path
from pseudocap.files.lock import locked
with locked(Path(sys.argv[1]), "packing"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_who_comes_second_learns_who_does_what_and_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    (tmp_path / ".half.tar.part").write_bytes(b"of the holder")
    words = rf"another run \(process {holder.pid} on .*\) is packing into {tmp_path}; wait for it, or choose another"
    with pytest.raises(DataError, match=words), locked(tmp_path, "encoding"):
        pass
    assert (tmp_path / ".half.tar.part").exists(), "only who holds the lock removes what is half there"
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    with locked(tmp_path, "encoding"):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_a_lock_that_was_given_back_says_nothing_and_is_free(tmp_path: Path) -> None:
    with locked(tmp_path / "new", "encoding"):
        pass
    assert (tmp_path / "new" / LOCK).read_bytes() == b""
    with locked(tmp_path / "new", "packing"):
        pass


def test_the_lock_of_an_older_version_is_respected(tmp_path: Path) -> None:
    with (tmp_path / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another run is working into"), locked(tmp_path, "encoding"):
            pass


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"--out .*file cannot be written"), locked(tmp_path / "file", "encoding"):
        pass
