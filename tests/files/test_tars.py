from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from helpers.tars import write_tar

from pseudocap.files import tars
from pseudocap.files.tars import BROKEN, add_member, tar_members

FILES = [("1.jpg", b"a picture"), ("1.txt", b""), ("deep/2.jpg", b"x" * 512)]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_each_member_lies_where_it_is_reported(tmp_path: Path, form: int) -> None:
    files = [*FILES, ("élan" + "n" * 120 + ".jpg", b"a long name has headers of its own")]
    path = write_tar(tmp_path / "x.tar", files[: 3 if form == tarfile.USTAR_FORMAT else 4], tar_format=form)
    content, before = path.read_bytes(), 0
    for (name, data), member in zip(files, tar_members(path), strict=form != tarfile.USTAR_FORMAT):
        assert member[0] == name
        assert member[1] == before, "headers begin where the member before has ended"
        assert content[member[2] : member[2] + member[3]] == data
        before = member[4]


def test_the_quick_way_and_tarfile_agree(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", FILES)
    quick = tars._plain_members(path)
    assert quick is not None
    assert quick == list(tars._members(path))


@pytest.mark.parametrize("left", [0, 100, 600, 1600])
def test_of_a_tar_without_its_end_the_members_come_first_and_then_an_error(tmp_path: Path, left: int) -> None:
    path = write_tar(tmp_path / "x.tar", FILES)
    path.write_bytes(path.read_bytes()[:left])
    found = []

    def read() -> None:
        for name, *_ in tar_members(path):
            found.append(name)

    with pytest.raises(BROKEN):
        read()
    assert found == [name for name, _ in FILES][: len(found)]
    assert len(found) == {0: 0, 100: 0, 600: 1, 1600: 2}[left]


def test_the_same_contents_give_the_same_tar(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with tarfile.open(tmp_path / name, "w") as archive:
            for member, content in FILES:
                add_member(archive, member, content)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with tarfile.open(tmp_path / "a") as archive:
        assert {member.mtime for member in archive} == {0}
