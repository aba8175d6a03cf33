"""A captioner as a teacher: it is handed in, sees the whole clip, and answers a clip alone as in a batch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from pseudocap import PseudoCap
from pseudocap.decoding import LabelDecoding
from pseudocap.label.teachers.base import View
from pseudocap.label.teachers.captioner import PseudoCapTeacher
from pseudocap.types import Clip
from pseudocap.video.transforms import eval_tensor


@pytest.fixture(scope="module")
def model(backbones: Path) -> PseudoCap:
    return PseudoCap.from_backbones(
        decoder=backbones / "opt", encoder=backbones / "timesformer", gate_init=1.0, device="cpu"
    )


def views_of(model: PseudoCap, count: int) -> list[View]:
    rng = np.random.default_rng(0)
    shape = (model.config.preprocess.frames, 40, 48, 3)
    return [
        View(
            clip=Clip(source="a.mp4", start=8.0 * each, end=8.0 * each + 8),
            frames=rng.integers(0, 256, shape, dtype=np.uint8),
            key=10_000 * each,
        )
        for each in range(count)
    ]


def test_sampled_captions_are_ranked_and_do_not_depend_on_the_batch(model: PseudoCap) -> None:
    teacher = PseudoCapTeacher(model, name="mine", decoding=LabelDecoding(captions=3, max_new_tokens=6))
    views = views_of(model, 3)
    answers = teacher.caption(views)
    assert [answer.captions for answer in teacher.caption(views[::-1])] == [each.captions for each in answers[::-1]]
    other_key = dataclasses.replace(views[0], key=1)
    assert teacher.caption([views[0]])[0].captions == answers[0].captions
    assert teacher.caption([other_key])[0].captions != answers[0].captions
    for answer in answers:
        assert len(set(answer.captions)) > 1
        assert list(answer.log_probs) == sorted(answer.log_probs, reverse=True)
        assert answer.confidence == pytest.approx(np.exp(answer.log_probs[0] / answer.tokens[0]))


def test_beams_are_those_of_the_captioner_itself(model: PseudoCap) -> None:
    teacher = PseudoCapTeacher(model, name="mine", decoding=LabelDecoding(top_p=None, beams=3, max_new_tokens=6))
    (view,) = views_of(model, 1)
    assert view.frames is not None
    frames = eval_tensor(view.frames, model.config.preprocess)
    ids = model.generate(model.encode(frames[None]), num_beams=3, max_new_tokens=6)
    (answer,) = teacher.caption([view])
    assert answer.captions == tuple(model.decode(ids))


def test_rows_record_how_the_captioner_decodes(model: PseudoCap) -> None:
    decoding = LabelDecoding(max_new_tokens=6)
    teacher = PseudoCapTeacher(model, name="mine", revision="abc", decoding=decoding)
    assert (teacher.name, teacher.revision, teacher.frames) == ("mine", "abc", model.config.preprocess.frames)
    assert teacher.settings == {**decoding.recorded(), "dtype": str(torch.float32).removeprefix("torch.")}


@pytest.mark.parametrize("options", [{"top_p": None}, {"top_p": None, "beams": 2}])
def test_a_caption_goes_on_from_a_prompt_and_does_not_repeat_it(model: PseudoCap, options: dict[str, int]) -> None:
    decoding = LabelDecoding(**options, max_new_tokens=6, prompt="the the the")  # type: ignore[arg-type]
    teacher = PseudoCapTeacher(model, name="mine", decoding=decoding)
    clips = []
    for view in (views := views_of(model, 4)):
        assert view.frames is not None
        clips.append(eval_tensor(view.frames, model.config.preprocess))
    memory = model.encode(torch.stack(clips))
    search = {"num_beams": decoding.beams, "max_new_tokens": 6}
    captions = [answer.captions[0] for answer in teacher.caption(views)]
    assert captions == model.describe(memory, prompt="the the the", **search)
    assert captions != model.describe(memory, **search)
