"""Check that a seed keeps its films: pictures and words of the world of today, by their hashes."""

from __future__ import annotations

import hashlib

import pytest

from pseudocap.toyworld.corpora import captions_at, film_at, word_generator
from pseudocap.toyworld.render import render_film
from pseudocap.toyworld.speech import segments, talk

FILMS = {  # corpus, split, index: sha256 of all frames at 32 pixels, and of all words
    ("clips", "train", 3): ("de9c2d15030accf5", "94043f205da07cdc"),
    ("stills", "train", 5): ("df9e8b04f44808dc", "f7ace38bd3a8429c"),
    ("talking", "train", 1): ("4bf3eeb69e776e08", "f9bcbd11839601e0"),
    ("msrvtt", "test", 2): ("58c9c23a1393d3c8", "7f32df77008562c7"),
    ("msvd", "val", 1): ("0801650f8440ebd7", "528eef77845f4e2b"),
    ("own", "test", 0): ("94b0863aed19c647", "da2ac118dd947591"),
}


def words_of(corpus: str, split: str, index: int) -> list[str]:
    """List the captions of a film, and its transcript where it talks."""
    if corpus != "talking":
        return captions_at(corpus, split, index, seed=0)
    rng = word_generator(corpus, split, index, seed=0)
    return [segment.text for segment in segments(talk(film_at(corpus, split, index, seed=0), rng), rng)]


@pytest.mark.parametrize("film", FILMS, ids=lambda film: film[0])
def test_a_seed_keeps_the_pictures_and_words_that_it_had_before_the_world_had_sound(film: tuple[str, str, int]) -> None:
    pictures, words = hashlib.sha256(), hashlib.sha256()
    frames = render_film(film_at(*film, seed=0), 32)
    for _, frame in zip(range(240), frames, strict=False):
        pictures.update(frame.tobytes())
    words.update("\n".join(words_of(*film)).encode())
    assert (pictures.hexdigest()[:16], words.hexdigest()[:16]) == FILMS[film]
