from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from pseudocap.data.tars.samples import read_shard, summarise_shard
from pseudocap.errors import DataError

METADATA = {"url": "https://x", "width": 8}


def write_shard(path: Path, members: Sequence[tuple[str, bytes]], status: Sequence[str] | None = None) -> Path:
    """A tar as img2dataset and video2dataset write it, and the parquet beside it."""
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    if status is not None:
        table = pyarrow.table({"key": [str(k) for k in range(len(status))], "status": list(status)})
        pyarrow.parquet.write_table(table, path.with_suffix(".parquet"))
    return path


def sample(key: str, extension: str = "jpg", caption: str | bytes = "a dog") -> list[tuple[str, bytes]]:
    text = caption if isinstance(caption, bytes) else caption.encode()
    data = b"bytes of " + key.encode()
    return [(f"{key}.{extension}", data), (f"{key}.txt", text), (f"{key}.json", json.dumps(METADATA).encode())]


def test_images_and_videos_come_as_samples_in_order(tmp_path: Path) -> None:
    members = sample("000000012", caption="\ufeff Hund,\n läuft ") + sample("sub.dir/000000013_00001", "mp4")
    first, second = read_shard(write_shard(tmp_path / "00000.tar", members))
    assert (first.key, first.extension, first.media) == ("000000012", "jpg", b"bytes of 000000012")
    assert (first.caption, first.metadata) == ("Hund, läuft", METADATA)
    assert (second.key, second.extension) == ("sub.dir/000000013_00001", "mp4")


def test_the_json_may_be_absent(tmp_path: Path) -> None:
    (only,) = read_shard(write_shard(tmp_path / "x.tar", sample("1")[:2]))
    assert only.metadata == {}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (sample("1")[1:], r"sample 1 has txt, json and must have one image or video \(jpg"),
        ([*sample("1"), ("1.mp4", b"x")], "sample 1 has jpg, txt, json, mp4 and must have one"),
        ([("1.jpg", b""), *sample("1")[1:]], "sample 1: its jpg is empty"),
        (sample("1")[:1], "sample 1 has no txt, so no caption"),
        (sample("1", caption="  "), "sample 1: txt is empty"),
        (sample("1", caption=b"caf\xe9"), "sample 1: its txt is not UTF-8"),
        ([*sample("1")[:2], ("1.json", b"{")], "sample 1: its json is broken"),
        ([*sample("1")[:2], ("1.json", b"[]")], "sample 1: its json is a list and must be an object"),
        ([*sample("1"), ("1.txt", b"again")], "sample 1 has two members that end in .txt"),
    ],
)
def test_a_broken_sample_is_named_and_may_be_passed_over(
    tmp_path: Path, members: list[tuple[str, bytes]], message: str
) -> None:
    path = write_shard(tmp_path / "x.tar", [*sample("0"), *members, *sample("2")])
    with pytest.raises(DataError, match=message) as refused:
        list(read_shard(path))
    assert str(path) in str(refused.value)
    errors: list[DataError] = []
    assert [each.key for each in read_shard(path, on_broken=errors.append)] == ["0", "2"]
    assert len(errors) == 1


@pytest.mark.parametrize("left", [4000, 5120, 5200])
def test_of_a_tar_cut_short_the_whole_samples_are_delivered(tmp_path: Path, left: int) -> None:
    """Every member takes two blocks of 512 bytes, so the second sample begins at 3,072 and ends at 6,144."""
    path = write_shard(tmp_path / "x.tar", sample("0") + sample("1") + sample("2"))
    path.write_bytes(path.read_bytes()[:left])
    errors: list[DataError] = []
    assert [each.key for each in read_shard(path, on_broken=errors.append)] == ["0"]
    assert any("cut short" in str(error) for error in errors)
    with pytest.raises(DataError, match="cut short"):
        list(read_shard(path))


def test_what_is_no_tar_and_what_is_not_there_is_told(tmp_path: Path) -> None:
    for content in (b"", b"text, no tar" * 100):
        (tmp_path / "x.tar").write_bytes(content)
        with pytest.raises(DataError, match=r"x.tar: .*it is no tar or was cut short"):
            list(read_shard(tmp_path / "x.tar"))
    with pytest.raises(DataError, match="there is no such file"):
        list(read_shard(tmp_path / "y.tar"))


def test_the_parquet_beside_it_says_how_many_samples_there_must_be(tmp_path: Path) -> None:
    members = sample("0") + sample("2")
    complete = summarise_shard(write_shard(tmp_path / "0.tar", members, ["success", "failed_to_download", "success"]))
    assert (complete.samples, complete.mismatches) == (2, ())
    path = write_shard(tmp_path / "1.tar", members, ["success"] * 3)
    with pytest.raises(DataError, match=r"1.tar: 2 samples, and there must be 3 \(1.parquet lists them\)"):
        summarise_shard(path)
    partial = summarise_shard(path, allow_partial=True)
    assert [(each.what, each.expected, each.found) for each in partial.mismatches] == [("samples", 3, 2)]
    assert partial.content_hash == complete.content_hash
    other = summarise_shard(write_shard(tmp_path / "2.tar", sample("0") + sample("2", caption="a cat")))
    assert other.content_hash != complete.content_hash
    path.with_suffix(".parquet").write_bytes(b"x")
    with pytest.raises(DataError, match=r"1.parquet: no column 'status' can be read"):
        summarise_shard(path)
