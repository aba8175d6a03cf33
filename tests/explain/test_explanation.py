"""`model.explain`: the caption that captioning gives, word by word, of videos and of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.image_models import write_timm
from PIL import Image

from pseudocap import PseudoCap
from pseudocap.errors import InputError
from pseudocap.explain.explanation import explain_ids
from pseudocap.explain.looking import look
from pseudocap.explain.words import split_words
from pseudocap.memory import Axis, Memory
from pseudocap.toyworld.film import encode
from pseudocap.video.tensors import decode_file, decode_for_display

SAID = "two dogs play guitar on a stage"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (16, 32, 32, 3), np.uint8)
    encode(path, list(noise))
    return path


@pytest.mark.parametrize("fusion", ["residual", "convex"])
@pytest.mark.parametrize("options", [{}, {"beams": 2}, {"top_p": 0.9, "seed": 3}])
def test_it_explains_the_caption_that_captioning_gives(
    build: Callable[..., PseudoCap], film: Path, fusion: str, options: dict[str, object]
) -> None:
    model = build(fusion=fusion)
    explained = model.explain(film, max_new_tokens=8, **options)
    assert explained.caption == model.caption(film, max_new_tokens=8, **options)
    assert " ".join(explained.words) == " ".join(explained.caption.split())


def test_every_array_has_the_axes_that_it_names(build: Callable[..., PseudoCap], film: Path) -> None:
    model = build(adapter_layers=(1, 2, 3))
    explained = model.explain(film, caption=SAID)
    words, adapters = len(SAID.split()), 3
    assert explained.words == tuple(SAID.split())
    assert explained.layers == (1, 2, 3)
    assert explained.grid == (2, 2)
    assert (explained.time.shape, explained.space.shape) == ((words, adapters, 4), (words, adapters, 4))
    assert explained.added.shape == explained.by_video.shape == (words, adapters)
    assert {name: gate.shape for name, gate in explained.gates.items()} == {"attention": (3, 16), "ffn": (3, 16)}
    assert (explained.frames.shape, explained.frames.dtype) == ((4, 16, 16, 3), np.uint8)
    assert (np.diff(explained.times) > 0).all()


def test_the_grid_is_the_encoders_own(film: Path, backbones: Path, tmp_path: Path) -> None:
    write_timm(tmp_path, "test_resnet")
    model = PseudoCap.from_backbones(decoder=backbones / "opt", encoder=tmp_path, size=100, num_frames=2, device="cpu")
    explained = model.explain(film, caption=SAID)
    assert explained.grid == (4, 4)
    assert explained.space.shape[-1] == 16


def test_the_frames_are_those_that_the_encoder_was_given(model: PseudoCap, film: Path) -> None:
    given = decode_file(film, model.config.preprocess)
    mean, std = (
        torch.tensor(values).view(3, 1, 1) for values in (model.config.preprocess.mean, model.config.preprocess.std)
    )
    shown = torch.from_numpy(model.explain(film, caption=SAID).frames).permute(0, 3, 1, 2)
    torch.testing.assert_close((shown.float() / 255 - mean) / std, given)


def test_a_word_looks_from_the_token_before_it(model: PseudoCap, film: Path) -> None:
    explained = model.explain(film, caption=SAID)
    ids = model.tokenize([SAID]).input_ids
    words = split_words(ids[0, 1:-1].tolist(), model.tokenizer)
    (seen,) = look(model, ids, model.encode(decode_file(film, model.config.preprocess)[None]))
    # The first word is chosen at the opening token, a later one at the last token of the word before it.
    assert [word.tokens[0] for word in words][:2] == [0, words[0].tokens[-1] + 1]
    for row, word in enumerate(words):
        at = list(word.tokens)
        torch.testing.assert_close(torch.from_numpy(explained.time[row, 0]), seen.shares["time"][0, at].mean(dim=0))
        torch.testing.assert_close(torch.tensor(explained.added[row, 0]), seen.added_NL[0, at].mean(dim=0))


def test_an_axis_beside_sight_is_an_array_of_its_own(model: PseudoCap, film: Path, tmp_path: Path) -> None:
    model.decoder.grow_axis("sound", memory_width=10)
    sight, ids = decode_for_display(film, model.config.preprocess), model.tokenize([SAID]).input_ids[0]
    sound = Axis(torch.randn(1, 5, 10), torch.ones(1, 5, dtype=torch.bool))
    heard = Memory({**model.encode(sight.frames[None]).axes, "sound": sound})
    explained = explain_ids(model, model.tokenizer, ids, heard, sight=sight, source="film.mp4")
    assert list(explained.shares) == ["time", "space", "sound"]
    explained.save(tmp_path / "why.npz")
    kept = np.load(tmp_path / "why.npz", allow_pickle=False)["sound"]
    assert kept.shape == (len(SAID.split()), 1, 5)
    np.testing.assert_allclose(kept.sum(axis=-1), 1, rtol=1e-5)
    explained.save(tmp_path / "why.png")
    deaf = replace(explained, shares={"sound": explained.shares["sound"]})
    with pytest.raises(InputError, match="a figure shows time and space, and this captioner attends to sound"):
        deaf.figure()


def test_an_image_has_one_frame_that_has_all_the_time(model: PseudoCap, tmp_path: Path) -> None:
    Image.new("RGB", (40, 20), "teal").save(tmp_path / "still.png")
    explained = model.explain(tmp_path / "still.png", caption=SAID)
    assert explained.frames.shape[0] == 1
    assert (explained.time == 1).all()
    explained.save(tmp_path / "why.png")


def test_a_captioner_that_says_nothing_is_explained_too(
    model: PseudoCap, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "generate", lambda memory, **options: torch.tensor([[2, 2]]))
    explained = model.explain(film)
    assert (explained.caption, explained.words, explained.time.shape) == ("", (), (0, 1, 4))
    explained.save(tmp_path / "why.png")


def test_words_are_joined_from_tokens_whatever_the_letters(model: PseudoCap) -> None:
    said = "a café, «naïve» 犬が走る 🐕!"
    ids = model.tokenizer(said, add_special_tokens=False)["input_ids"]
    words = split_words([*ids, model.tokenizer.pad_token_id], model.tokenizer)
    assert [word.text for word in words] == said.split()
    assert sorted({token for word in words for token in word.tokens}) == list(range(len(ids)))
    assert all(first.tokens[-1] <= second.tokens[0] for first, second in pairwise(words))


def test_arrays_and_figures_are_saved(model: PseudoCap, film: Path, tmp_path: Path) -> None:
    explained = model.explain(film, caption=f"{SAID} for $1 or $2")
    explained.save(tmp_path / "why.npz")
    kept = np.load(tmp_path / "why.npz", allow_pickle=False)
    assert set(kept) == set(explained.arrays())
    assert kept["words"].tolist() == list(explained.words)
    assert np.array_equal(kept["space"], explained.space)
    explained.save(tmp_path / "why.png", layer=2)
    with Image.open(tmp_path / "why.png") as drawn:
        assert drawn.size[0] > 800
    assert sorted(path.name for path in tmp_path.iterdir()) == ["why.npz", "why.png"]


def test_a_layer_without_an_adapter_and_a_strange_file_are_told(model: PseudoCap, film: Path, tmp_path: Path) -> None:
    explained = model.explain(film, caption=SAID)
    with pytest.raises(InputError, match="layer is 1, and no adapter stands before it; adapters stand before layers 2"):
        explained.figure(layer=1)
    with pytest.raises(
        InputError, match=r"why.gif: a figure is a .png, .pdf, .svg file; an explanation's arrays are .npz"
    ):
        explained.save(tmp_path / "why.gif")
