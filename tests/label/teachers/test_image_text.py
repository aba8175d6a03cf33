"""Teachers: captions that do not depend on the batch, likelihoods that are the model's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.hub_server import close_hub
from helpers.image_text_models import write_git
from transformers import (
    AutoProcessor,
    BlipForConditionalGeneration,
)

from pseudocap.decoding import LabelDecoding
from pseudocap.errors import CheckpointError, ConfigError
from pseudocap.label.teachers.base import Answer, View
from pseudocap.label.teachers.image_text import ImageTextTeacher
from pseudocap.types import Clip


def views_of(count: int, size: tuple[int, int] = (32, 40)) -> list[View]:
    rng = np.random.default_rng(0)
    return [
        View(
            clip=Clip(source="a.mp4", start=8.0 * k, end=8.0 * k + 8),
            frames=rng.integers(0, 256, (1, *size, 3), dtype=np.uint8),
            key=10_000 * k,
        )
        for k in range(count)
    ]


def says(teacher: ImageTextTeacher, views: list[View]) -> list[tuple[str, ...]]:
    return [answer.captions for answer in teacher.caption(views)]


def test_captions_follow_their_clips_through_any_order(blip: ImageTextTeacher) -> None:
    views = views_of(6)
    said = says(blip, views)
    assert says(blip, views[::-1]) == said[::-1]
    assert len(set(said)) > 1
    assert says(blip, [*views[:2], *views_of(6)[2:]]) == said


class Recording(ImageTextTeacher):
    """Shows the tokens that it wrote, some of which (a [MASK], say) a text would not."""

    def _answers(self, written: torch.Tensor, *rest: Any) -> list[Answer]:
        self.written = written
        return super()._answers(written, *rest)


def test_the_log_probability_is_the_models_own(blip_folder: Path) -> None:
    teacher = Recording(str(blip_folder), decoding=LabelDecoding(max_new_tokens=12))
    views = views_of(4)
    model = BlipForConditionalGeneration.from_pretrained(blip_folder).eval()
    processor = AutoProcessor.from_pretrained(blip_folder)
    answers = teacher.caption(views)
    for view, answer, written in zip(views, answers, teacher.written, strict=True):
        image = torch.from_numpy(view.frames[0]).permute(2, 0, 1)  # type: ignore[index]
        pixels = processor.image_processor([image], return_tensors="pt").pixel_values
        ids = torch.tensor([[5, *written[: answer.tokens[0]]]])
        with torch.inference_mode():
            seen = model.vision_model(pixels)[0]
            logits = model.text_decoder(ids, encoder_hidden_states=seen).logits
        expected = logits[0, :-1].log_softmax(dim=-1).gather(-1, ids[0, 1:, None]).sum().item()
        assert answer.log_probs[0] == pytest.approx(expected, abs=1e-3)


def test_greedy_is_what_transformers_generates(blip_folder: Path) -> None:
    teacher = ImageTextTeacher(str(blip_folder), decoding=LabelDecoding(top_p=None, max_new_tokens=12))
    views = views_of(4)
    model = BlipForConditionalGeneration.from_pretrained(blip_folder).eval()
    processor = AutoProcessor.from_pretrained(blip_folder)
    images = [torch.from_numpy(view.frames[0]).permute(2, 0, 1) for view in views]  # type: ignore[index]
    pixels = processor.image_processor(images, return_tensors="pt").pixel_values
    ids = model.generate(pixels, max_new_tokens=12)
    assert [answer[0] for answer in says(teacher, views)] == processor.batch_decode(ids, skip_special_tokens=True)


def test_beams_find_captions_at_least_as_likely(blip_folder: Path) -> None:
    greedy = ImageTextTeacher(str(blip_folder), decoding=LabelDecoding(top_p=None, max_new_tokens=1))
    beams = ImageTextTeacher(
        str(blip_folder), decoding=LabelDecoding(top_p=None, beams=3, captions=2, max_new_tokens=1)
    )
    for one, several in zip(greedy.caption(views_of(4)), beams.caption(views_of(4)), strict=True):
        assert several.log_probs[0] == pytest.approx(one.log_probs[0], abs=1e-4)  # of one token both find the best
        assert several.log_probs[1] < several.log_probs[0]


def test_several_captions_come_likeliest_first_and_differ(blip_folder: Path) -> None:
    teacher = ImageTextTeacher(str(blip_folder), decoding=LabelDecoding(captions=4, max_new_tokens=12))
    for answer in teacher.caption(views_of(3)):
        assert len(answer.captions) == 4
        assert list(answer.log_probs) == sorted(answer.log_probs, reverse=True)
        assert len(set(answer.captions)) > 1


def test_a_prompt_is_not_repeated_in_the_caption(blip_folder: Path) -> None:
    plain = ImageTextTeacher(str(blip_folder), decoding=LabelDecoding(top_p=None, max_new_tokens=6))
    asked = ImageTextTeacher(str(blip_folder), decoding=LabelDecoding(top_p=None, max_new_tokens=6, prompt="two dogs"))
    views = views_of(4)
    assert not any(caption.startswith("two dogs") for (caption,) in says(asked, views))
    assert says(asked, views) != says(plain, views)


def test_another_size_is_looked_at_in_that_size(blip_folder: Path) -> None:
    teacher = ImageTextTeacher(str(blip_folder), decoding=LabelDecoding(max_new_tokens=4), size=48)
    assert teacher.short_side == 48
    assert teacher.settings["size"] == 48
    assert len(teacher.caption(views_of(2))) == 2


def test_git_fits_the_protocol(tmp_path: Path) -> None:
    write_git(tmp_path)
    teacher = ImageTextTeacher(str(tmp_path), decoding=LabelDecoding(max_new_tokens=6))
    views = views_of(4)
    answers = teacher.caption(views)
    assert [answer.captions for answer in teacher.caption(views[::-1])] == [a.captions for a in answers[::-1]]
    assert all(answer.log_probs[0] < 0 for answer in answers)


def test_what_is_no_teacher_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be loaded as a teacher"):
        ImageTextTeacher(str(tmp_path))
    with pytest.raises(CheckpointError, match="neither a directory nor a repo"):
        ImageTextTeacher("gone")


def test_where_the_hub_is_not_reached_the_reason_is_that(monkeypatch: pytest.MonkeyPatch) -> None:
    close_hub(monkeypatch)
    with pytest.raises(CheckpointError, match=r"could not be reached .*; go online once, or name a directory"):
        ImageTextTeacher("owner/teacher")


def test_a_caption_has_as_many_tokens_as_are_asked_for(blip_folder: Path) -> None:
    short = ImageTextTeacher(str(blip_folder), decoding=LabelDecoding(max_new_tokens=12))
    decoding = LabelDecoding(max_new_tokens=12, min_new_tokens=12)
    long = ImageTextTeacher(str(blip_folder), decoding=decoding)
    assert min(answer.tokens[0] for answer in short.caption(views_of(6))) < 12
    assert [answer.tokens for answer in long.caption(views_of(6))] == [(12,)] * 6
    assert long.settings == {**short.settings, "min_new_tokens": 12}


def test_a_penalty_on_repetition_changes_what_repeats(blip_folder: Path) -> None:
    options = {"top_p": None, "max_new_tokens": 12, "min_new_tokens": 12}
    plain = ImageTextTeacher(str(blip_folder), decoding=LabelDecoding(**options))  # type: ignore[arg-type]
    penal = ImageTextTeacher(str(blip_folder), decoding=LabelDecoding(**options, repetition_penalty=50.0))  # type: ignore[arg-type]
    for (before,), (after,) in zip(says(plain, views_of(4)), says(penal, views_of(4)), strict=True):
        assert len(set(after.split())) > len(set(before.split()))


def seen_by(teacher: ImageTextTeacher, pixels: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return teacher._model.vision_model(pixel_values=pixels).last_hidden_state


def test_blips_fused_attention_is_what_transformers_computes(blip_folder: Path, blip: ImageTextTeacher) -> None:
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        theirs = BlipForConditionalGeneration.from_pretrained(blip_folder).eval().vision_model(pixel_values=pixels)
    torch.testing.assert_close(seen_by(blip, pixels), theirs.last_hidden_state)


def test_int8_sees_nearly_the_same_and_nothing_of_its_neighbours(blip_folder: Path, blip: ImageTextTeacher) -> None:
    eight = ImageTextTeacher(str(blip_folder), decoding=LabelDecoding(max_new_tokens=12), dtype="int8")
    assert eight.settings["dtype"] == "int8"
    pixels = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pixels[3] *= 100  # whose activations have another scale
    seen, precise = seen_by(eight, pixels), seen_by(blip, pixels)
    assert 0 < (seen - precise).norm() / precise.norm() < 0.1
    for row in range(4):
        assert torch.equal(seen[row], seen_by(eight, pixels[[row]])[0])


def test_int8_says_of_a_clip_in_a_batch_what_it_says_of_it_alone(blip_folder: Path) -> None:
    eight = ImageTextTeacher(str(blip_folder), decoding=LabelDecoding(max_new_tokens=12), dtype="int8")
    assert not any(isinstance(layer, torch.nn.Linear) for layer in eight._model.text_decoder.modules())
    views = views_of(5)
    assert eight.caption(views) == [eight.caption([view])[0] for view in views]


def test_int8_is_refused_where_it_does_not_fit(tmp_path: Path) -> None:
    write_git(tmp_path / "git")
    with pytest.raises(ConfigError, match=r"int8.*is a git.*leave dtype at auto"):
        ImageTextTeacher(str(tmp_path / "git"), dtype="int8")
