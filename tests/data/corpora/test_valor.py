from __future__ import annotations

from pathlib import Path

import pytest
from helpers.corpora import SMALL, write_json

from pseudocap.data.corpora import valor
from pseudocap.data.corpora.named import NamedCorpus
from pseudocap.data.corpora.valor import read_valor_1m, read_valor_32k
from pseudocap.errors import DataError


def clips(split: str, count: int) -> list[str]:
    return [f"{f'{split}{row}':_>11}_30.000_40.000" for row in range(count)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six clips in the three published files."""
    monkeypatch.setattr(valor, "VIDEOS", SMALL)
    for split, size in SMALL.items():
        write_json(tmp_path / f"desc_{split}.json", [{"video_id": x, "desc": f"of {x}"} for x in clips(split, size)])
    return tmp_path


def test_the_published_files_are_read(folder: Path) -> None:
    corpus = read_valor_32k(folder)
    assert corpus.counts == {split: {"videos": size, "captions": size} for split, size in SMALL.items()}
    row = corpus.split("test").rows[1]
    assert (row.id, row.captions) == ("______test1_30.000_40.000", ("of ______test1_30.000_40.000",))
    assert row.origin is not None
    assert (row.origin.url[-11:], row.origin.start, row.origin.end) == ("______test1", 30.0, 40.0)


@pytest.mark.parametrize("mapper", valor.MAPPERS)
def test_the_files_of_its_code_give_the_same_corpus(folder: Path, tmp_path: Path, mapper: str) -> None:
    described = read_valor_32k(folder)
    code = tmp_path / "code"
    for split, size in SMALL.items():
        write_json(code / f"{split}_id.json", clips(split, size))
    every = [name for split, size in SMALL.items() for name in clips(split, size)]
    by_id = {name: [f"of {name}"] for name in every}
    records = [{"video_id": name, "caption": f"of {name}"} for name in every]
    write_json(code / mapper, by_id if mapper.startswith("txt") else records)
    listed = read_valor_32k(code)
    assert listed.content_hash == described.content_hash
    assert [listed.split_hash(name) for name in SMALL] == [described.split_hash(name) for name in SMALL]
    (code / mapper).unlink()
    with pytest.raises(DataError, match=r"has lists of ids and no captions; fetch txt_mapper.json or caption_anno"):
        read_valor_32k(code)


def test_real_counts_are_demanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(DataError, match="3 videos in train, and there must be 25,000"):
        read_valor_32k(folder)
    with pytest.raises(DataError, match="0 ten thousands of videos, and there must be 118"):
        read_valor_1m(folder)
    million = read_valor_1m(folder, allow_partial=True)
    assert million.counts == {"train": {"videos": 3, "captions": 3}}
    assert [each.found for each in million.mismatches] == [0]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ({"a": 1}, r"desc_val.json must hold a list of clips, \[\{'video_id'"),
        ([{"desc": "x"}], "desc_val.json, row 0: the field 'video_id' is missing"),
        ([{"video_id": "a", "desc": ""}], r"desc_val.json, row 0 \(a\): caption is empty"),
        ([{"video_id": "a"}], r"row 0 \(a\): caption is None and must be a string"),
        ([{"video_id": clips("train", 1)[0], "desc": "x"}], "row 0: the video '_____train0_30.000_40.000' appeared"),
    ],
)
def test_a_wrong_row_is_named(folder: Path, records: object, message: str) -> None:
    write_json(folder / "desc_val.json", records)
    with pytest.raises(DataError, match=message):
        read_valor_32k(folder)


def test_a_word_of_the_command_line_names_it(folder: Path) -> None:
    assert NamedCorpus.of(f"valor-32k:{folder}").read(split="train").name == "valor-32k"
    assert NamedCorpus.of(f"valor-1m:{folder}").read(split="train", allow_partial=True).name == "valor-1m"
