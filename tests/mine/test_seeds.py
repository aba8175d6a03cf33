"""Seeds are read from tars, folders and files of captions; what has no caption is counted, or refused."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from helpers.mining import write_photos
from helpers.tars import image_tars

from pseudocap.errors import DataError
from pseudocap.files.tars import add_member
from pseudocap.mine.seeds import find_seeds


def names(source: Path) -> dict[str, tuple[str, ...]]:
    return {picture.name: picture.captions for picture in find_seeds(str(source)).pictures}


def test_a_folder_of_pictures_has_a_text_beside_each(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", red="a red car| a  red car |red", blue="the sea")
    write_photos(photos / "more", green="grass")
    (photos / "blue.txt").write_text("\n")
    seeds = find_seeds(str(photos))
    assert {each.name: each.captions for each in seeds.pictures} == {
        "more/green.png": ("grass",), "red.png": ("a red car", "red")
    }  # fmt: skip
    assert (seeds.bare, seeds.root) == (1, str(photos))
    assert seeds.pictures[1].read()[0, 0].tolist() == [200, 30, 30]


def test_tars_of_img2dataset_are_read_where_they_lie(tmp_path: Path) -> None:
    image_tars(tmp_path / "tars")
    seeds = find_seeds(str(tmp_path / "tars"))
    tars = sorted((tmp_path / "tars").glob("*.tar"))
    expected = {}
    for tar in tars:
        with tarfile.open(tar) as archive:
            texts = [each for each in archive if each.name.endswith(".txt")]
            expected |= {
                f"{tar.name}/{each.name[:-4]}": archive.extractfile(each).read().decode().strip()  # type: ignore[union-attr]
                for each in texts
            }
    assert {each.name.rpartition(".")[0]: each.captions[0] for each in seeds.pictures} == expected
    assert all(each.read().shape[2] == 3 for each in seeds.pictures)


def test_rows_name_pictures_beside_them_or_in_tars(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", red="x", blue="y")
    with tarfile.open(photos / "00000.tar", "w") as archive:
        add_member(archive, "sea.png", (photos / "blue.png").read_bytes())
        add_member(archive, "unnamed.png", (photos / "blue.png").read_bytes())
    rows = [
        {"image": "red.png", "caption": ["a car", "a red car"]},
        {"image": "sea.png", "caption": "the sea", "split": "train"},
        {"image": "red.png", "caption": "a car"},
    ]
    (photos / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert names(photos) == {"red.png": ("a car", "a red car"), "00000.tar/sea.png": ("the sea",)}
    assert find_seeds(str(photos)).bare == 2  # blue.png and unnamed.png, which no row names
    (photos / "own.csv").write_text("image,caption\nred.png,a car\nblue.png,the sea\n")
    assert names(photos / "own.csv") == {"red.png": ("a car",), "blue.png": ("the sea",)}
    (photos / "some.csv").write_text("image,caption\nred.png,a car\n")
    assert find_seeds(str(photos / "some.csv")).bare == 0  # a file chooses its pictures
    beside, within = (find_seeds(str(source)).pictures[1].read() for source in (photos / "own.csv", photos))
    assert np.array_equal(beside, within)


def test_other_pictures_or_captions_are_another_identity(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", red="a car", blue="the sea")
    first = find_seeds(str(photos)).identity
    assert first == find_seeds(str(photos)).identity
    (photos / "red.txt").write_text("a bus")
    assert find_seeds(str(photos)).identity != first


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gone", "there is no such file or folder; name a folder of img2dataset's tars"),
        ("empty", "holds no picture"),
        ("bare", "none of the 1 pictures has a caption; wanted is a .txt beside each"),
        ("bare.tar", "none of the 1 pictures has a caption; wanted is a .txt or .json beside each in the tar"),
        ("broken.tar", "broken.tar: .*it is no tar or was cut short"),
        ("rows/absent.csv", "none of its 1 pictures is there, the first being .*gone.png"),
        ("s3://bucket/pictures", "is an address; fetch the pictures"),
    ],
)
def test_what_cannot_be_seeds_is_refused(tmp_path: Path, source: str, message: str) -> None:
    write_photos(tmp_path / "bare", red="")
    (tmp_path / "empty").mkdir()
    with tarfile.open(tmp_path / "bare.tar", "w") as archive:
        add_member(archive, "0.png", (tmp_path / "bare/red.png").read_bytes())
    (tmp_path / "broken.tar").write_bytes((tmp_path / "bare.tar").read_bytes()[:700])
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows/absent.csv").write_text("image,caption\ngone.png,a car\n")
    with pytest.raises(DataError, match=message):
        find_seeds(source if "://" in source else str(tmp_path / source))
