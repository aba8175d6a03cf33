from __future__ import annotations

import re
from pathlib import Path

import pytest

from pseudocap.data.corpora.msvd import read_msvd
from pseudocap.errors import DataError
from pseudocap.metrics.audio import audio_concept_density, audio_concepts


def test_concepts_are_the_ontologys_names_split_and_plain() -> None:
    concepts = audio_concepts()
    assert len(concepts) == 738
    assert {"male speech", "man speaking", "dog", "dentists drill", "tigers", "cockadoodledoo"} <= concepts
    assert not [concept for concept in concepts if re.search(r"[^\w ]|[A-Z]", concept) or concept != concept.strip()]


def test_a_concept_counts_once_in_a_caption_and_only_as_whole_words() -> None:
    result = audio_concept_density(["A dog, a DOG; man speaking!", "during the morning", "fire engine, dogs"])
    assert result.by_concept == {"dog": 1, "man speaking": 1, "fire": 1, "engine": 1, "fire engine": 1, "dogs": 1}
    assert (result.captions, result.words, result.concepts) == (3, 12, 6)
    assert result.density == pytest.approx(50)


def test_captions_without_a_word_have_no_density() -> None:
    with pytest.raises(DataError, match="no caption with a word"):
        audio_concept_density(["...", ""])


def test_msvd_has_the_length_of_captions_of_the_papers_table(shared_data: Path) -> None:
    captions = [text for row in read_msvd(shared_data / "msvd").rows for text in row.captions]
    result = audio_concept_density(captions)
    naive = 0
    for text in captions[::997]:
        plain = f" {re.sub('[^a-z0-9 ]', '', text.lower())} "
        naive += sum(f" {concept} " in plain for concept in audio_concepts())
    assert audio_concept_density(captions[::997]).concepts == naive > 0
    assert result.captions == 80_827
    assert round(result.mean_words, 1) == 7.0  # table 1 of VALOR
