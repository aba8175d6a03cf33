"""Corpora by a word: official annotations of a kind, or your own captions by their path."""

from __future__ import annotations

from pathlib import Path

import pytest

from pseudocap.data.corpora.msvd import read_msvd
from pseudocap.data.corpora.named import NamedCorpus
from pseudocap.errors import InputError


def test_official_annotations_are_read_from_their_folder(shared_data: Path) -> None:
    named = NamedCorpus.of(f"msvd:{shared_data / 'msvd'}")
    assert (named.kind, named.folder, named.short) == ("msvd", shared_data / "msvd", "msvd:msvd")
    assert named.read(split="train").content_hash == read_msvd(shared_data / "msvd").content_hash


def test_a_path_is_that_of_your_own_captions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.csv").write_text("video,caption\na,a dog\n")
    named = NamedCorpus.of(str(tmp_path / "x.csv"))
    assert (named.kind, named.folder, named.short) == ("own", tmp_path, "x.csv")
    assert named.read(split="train").splits == ("train",)
    monkeypatch.chdir(tmp_path)
    Path("msvd:x.csv").write_text("video,caption\na,a cat\n")
    assert NamedCorpus.of("msvd:x.csv").read(split="val").rows[0].captions == ("a cat",)


def test_a_name_that_leads_nowhere_is_refused_with_a_near_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--data mrsvtt:x: there is no such file or folder \(did you mean 'msrvtt'"):
        NamedCorpus.of("mrsvtt:x").require("--data")
    with pytest.raises(InputError, match=r"--data msvd:.*gone: there is no such file or folder$"):
        NamedCorpus.of(f"msvd:{tmp_path / 'gone'}").require("--data")
