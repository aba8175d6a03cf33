from __future__ import annotations

import tarfile
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from helpers.tars import image_tars, write_tar
from hypothesis import given
from hypothesis import strategies as st

from pseudocap.data.tars import index as tar_index
from pseudocap.data.tars.index import IndexedTar, index_tars, scan, span_of
from pseudocap.data.tars.samples import ShardSample, read_sample, read_shard
from pseudocap.errors import DataError


def members(keys: list[str]) -> list[tuple[str, bytes]]:
    return [(f"{key}.{end}", f"{end} of {key}".encode() * 200) for key in keys for end in ("jpg", "txt")]


def samples_of(tar: IndexedTar) -> list[ShardSample]:
    return [read_sample(tar.path, *span_of(tar, row)) for row in range(tar.samples)]


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("keys", [["1", "sub.dir/2", "3"], ["b" * 98 + "/" + "c" * 90, "1", "2"]])
def test_each_span_of_the_index_holds_just_the_sample_that_a_plain_read_gives(
    tmp_path: Path, tar_format: int, keys: list[str]
) -> None:
    path = write_tar(tmp_path / "x.tar", members(keys), tar_format=tar_format)
    (tar,) = index_tars(path)
    assert tar.samples == 3
    assert samples_of(tar) == list(read_shard(path))


def test_names_beyond_ascii_and_folders_are_read_too(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", members(["élan" + "n" * 100, "2"]))
    with tarfile.open(path, "a") as archive:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    (tar,) = index_tars(path)
    assert [sample.key for sample in samples_of(tar)] == ["élan" + "n" * 100, "2"]


def test_a_damaged_header_is_seen(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", members(["1", "2", "3"]))
    content = bytearray(path.read_bytes())
    start = scan(path)[0][2]
    content[start] ^= 1  # the name changes, the checksum does not
    path.write_bytes(content)
    starts, fault = scan(path)
    errors: list[DataError] = []
    assert len(starts) - 1 == len(list(read_shard(path, on_broken=errors.append))) == 1
    assert "is damaged: it is no tar or was cut short" in fault
    assert fault in str(errors[0])


@pytest.mark.parametrize("left", [100, 2000, 4000, 5120, 5200, 6144])
def test_of_a_tar_cut_short_the_index_has_what_a_plain_read_delivers(tmp_path: Path, left: int) -> None:
    path = write_tar(tmp_path / "x.tar", [(f"{k}.{end}", b"x") for k in range(3) for end in ("jpg", "txt", "json")])
    path.write_bytes(path.read_bytes()[:left])
    errors: list[DataError] = []
    complete = [sample.key for sample in read_shard(path, on_broken=errors.append) if errors or sample]
    starts, fault = scan(path)
    assert len(starts) - 1 == len(complete) + sum("sample" in str(error) for error in errors)
    assert "cut short" in fault


def test_an_index_is_made_once_and_anew_when_the_tar_changes(tmp_path: Path) -> None:
    folder = image_tars(tmp_path, tars=2)
    first = index_tars(folder)
    made = [tar.offsets.stat().st_mtime_ns for tar in first]
    assert index_tars(folder) == first
    assert [tar.offsets.stat().st_mtime_ns for tar in first] == made
    write_tar(first[0].path, members(["other"]))
    again = index_tars(folder)
    assert [tar.samples for tar in again] == [1, 4]
    assert again[1].offsets.stat().st_mtime_ns == made[1]


def test_a_damaged_index_is_made_anew(tmp_path: Path) -> None:
    first = index_tars(image_tars(tmp_path))
    counts = tmp_path / tar_index.FOLDER / tar_index.COUNTS
    for damage in ("{", "[]", '{"format": 0, "tars": {}}', '{"format": 1, "tars": {"00000.tar": {}}}'):
        counts.write_text(damage)
        assert index_tars(tmp_path) == first
    first[0].offsets.unlink()
    assert index_tars(tmp_path) == first
    assert first[0].offsets.exists()


def test_the_index_may_lie_elsewhere_also_of_tars_with_one_name(tmp_path: Path) -> None:
    one, other = image_tars(tmp_path / "one", tars=1), image_tars(tmp_path / "other", tars=1, each=2)
    (one / tar_index.FOLDER).write_text("not a folder: nothing can be written here")
    with pytest.raises(DataError, match=r"name a folder for the index that can be written \(index=\)"):
        index_tars(one)
    tars = index_tars([one, other], folder=tmp_path / "index")
    assert [tar.samples for tar in tars] == [4, 2]
    assert [len(samples_of(tar)) for tar in tars] == [4, 2]


def test_an_index_that_was_cut_short_says_what_to_do(tmp_path: Path) -> None:
    (tar,) = index_tars(image_tars(tmp_path, tars=1))
    tar.offsets.write_bytes(tar.offsets.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"the index of a tar cannot be read .* remove it, and it is made anew"):
        span_of(tar, 3)
    (again,) = index_tars(tmp_path)
    assert len(samples_of(again)) == 4


def test_an_interrupted_indexing_keeps_what_it_has_done(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        assert total == 3
        if done == 2:
            raise KeyboardInterrupt

    image_tars(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        index_tars(tmp_path, progress=interrupt)
    made = [(tmp_path / tar_index.FOLDER / f"0000{k}.tar.offsets").stat().st_mtime_ns for k in range(2)]
    assert [tar.offsets.stat().st_mtime_ns for tar in index_tars(tmp_path)[:2]] == made


def test_nothing_to_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no \.tar"):
        index_tars(tmp_path)
    with pytest.raises(DataError, match="no such tar or folder"):
        index_tars(tmp_path / "x.tar")


def test_an_empty_tar_has_no_samples(tmp_path: Path) -> None:
    assert index_tars(write_tar(tmp_path / "x.tar", []))[0].samples == 0


KEYS = st.lists(st.from_regex(r"[a-z0-9_/]{0,60}[a-z0-9_]", fullmatch=True), min_size=1, max_size=8, unique=True)
ENDS = st.permutations(["jpg", "txt", "cls"])


@given(keys=KEYS, ends=ENDS, sizes=st.lists(st.integers(0, 1600), min_size=3, max_size=3), form=st.integers(0, 2))
def test_any_sample_of_any_tar_is_read_by_its_span_as_from_the_beginning(
    keys: list[str], ends: list[str], sizes: list[int], form: int
) -> None:
    members = [
        (f"{key}.{end}", f"{key} {end}".encode().ljust(size, b"."))
        for key in keys
        for end, size in zip(ends, sizes, strict=True)
    ]
    with TemporaryDirectory() as folder:
        (tar,) = index_tars(write_tar(Path(folder) / "x.tar", members, tar_format=form))
        spans = [span_of(tar, row) for row in range(tar.samples)]
        assert all(one[1] == other[0] for one, other in pairwise(spans))
        assert samples_of(tar) == list(read_shard(tar.path, on_broken=lambda error: None))
