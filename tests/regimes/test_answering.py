"""Questions under a real Trainer: what is learned of them, what is counted, and that a run that was ended goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.running import FAST, Losses, Stop, StoppedError, saving, trainer
from helpers.small_worlds import write_questions
from helpers.sounding_world import write_sounding_world
from helpers.tiny_ast import write_ast

from pseudocap import PseudoCap
from pseudocap.data import CaptionData
from pseudocap.data.collate import collate
from pseudocap.decoding import ValidationDecoding
from pseudocap.errors import ConfigError, DataError
from pseudocap.model.loss import IGNORE
from pseudocap.questions import prompt_of
from pseudocap.regimes import Answering
from pseudocap.regimes.checkpointing import KeepCaptioner
from pseudocap.regimes.losses import Objective
from pseudocap.types import Batch, Sample

Build = Callable[..., PseudoCap]


@pytest.fixture(scope="module")
def asked(world: Path) -> str:
    return f"questions:{write_questions(world)}"


def batch_of(model: PseudoCap, *pairs: tuple[str, str]) -> Batch:
    frames = torch.rand(4, 3, 16, 16)
    samples = [
        Sample(key=str(number), modality="video", captions=(answer,), frames=frames, prompt=prompt_of(question))
        for number, (question, answer) in enumerate(pairs)
    ]
    return collate(samples, [answer for _, answer in pairs], step=0)


def test_the_question_is_given_and_only_the_answer_and_its_end_are_learned(build: Build) -> None:
    model = build()
    batch = batch_of(model, ("Who runs?", "a dog"), ("which way does it go", "left"))
    tokens = Answering(model).tokens_of(batch)
    for row, prompt, answer in zip(range(2), batch.prompts, batch.captions, strict=True):
        learned = tokens.labels[row][tokens.labels[row] != IGNORE]
        assert model.tokenizer.decode(learned[:-1]).strip() == answer
        assert learned[-1] == model.decoder.eos_id
        given = tokens.input_ids[row][(tokens.labels[row] == IGNORE) & tokens.attention_mask[row].bool()]
        assert model.tokenizer.decode(given, skip_special_tokens=True).strip() == prompt


def test_a_batch_of_questions_has_the_loss_of_each_alone_by_its_tokens(build: Build) -> None:
    model = build()
    module = Answering(model)
    pairs = [("who runs?", "a big brown dog"), ("which way does the square go?", "left")]
    both = batch_of(model, *pairs)
    memory = module.memory_of(both)
    total, tokens = 0.0, 0
    for row, pair in enumerate(pairs):
        one = batch_of(model, pair)
        one.memory = memory[[row]]
        loss, count = module.token_losses_of(one)
        total, tokens = total + loss, tokens + count
    both.memory = memory
    loss, count = module.token_losses_of(both)
    assert count == tokens
    assert loss == pytest.approx(total, rel=1e-5)


def test_a_run_moves_the_adapters_alone_and_counts_right_answers_by_type(
    build: Build, world: Path, asked: str, tmp_path: Path
) -> None:
    model = build()
    frozen = {name: weights.clone() for name, weights in model.named_parameters() if name not in model.trainable_names}
    module = Answering(model, optimisation=FAST, decoding=ValidationDecoding(max_new_tokens=4))
    learned = {name: weights.clone() for name, weights in model.adapter_state().items()}
    keep = KeepCaptioner(str(tmp_path / "kept"), Answering.monitor)
    data = CaptionData(asked, batch_size=6, workers=0)
    trainer(tmp_path, keep, max_epochs=1, max_steps=-1).fit(module, data)
    assert not all(torch.equal(weights, learned[name]) for name, weights in model.adapter_state().items())
    assert set(module.scores or {}) == {"accuracy", "accuracy of color", "accuracy of way"}
    right = {"color": [], "way": []}
    for each, row in zip(module.validation.captioned, data.corpus.split("val").rows, strict=True):  # type: ignore[attr-defined]
        right[row.kind].append(each.caption in row.captions)
    assert (module.scores or {})["accuracy of color"] == 100 * sum(right["color"]) / len(right["color"])
    assert (module.scores or {})["accuracy of way"] == 100 * sum(right["way"]) / len(right["way"])
    results = json.loads((tmp_path / "kept" / "last" / "results.json").read_text())
    assert (results["regime"], results["videos"]) == ("Answering", 4)
    assert results["intervals"].keys() == results["scores"].keys()
    assert all(torch.equal(weights, frozen[name]) for name, weights in model.named_parameters() if name in frozen)


def test_a_run_that_was_ended_goes_on_to_the_same_weights(build: Build, asked: str, tmp_path: Path) -> None:
    def data() -> CaptionData:
        return CaptionData(asked, batch_size=2, workers=0)

    whole, part, rest = Losses(), Losses(), Losses()
    complete, resumed = Answering(build(), optimisation=FAST), Answering(build(), optimisation=FAST)
    trainer(tmp_path / "whole", whole, max_steps=7).fit(complete, data())
    run = trainer(tmp_path / "part", part, saving(tmp_path / "part"), Stop(5), max_steps=7, enable_checkpointing=True)
    with pytest.raises(StoppedError):
        run.fit(Answering(build(), optimisation=FAST), data())
    trainer(tmp_path / "rest", rest, max_steps=7).fit(resumed, data(), ckpt_path=str(tmp_path / "part" / "last.ckpt"))
    assert {**part.by_step, **rest.by_step} == whole.by_step
    for name, weights in complete.model.adapter_state().items():
        assert torch.equal(weights, resumed.model.adapter_state()[name]), name


def test_what_hears_is_asked_by_groups(build: Build, tmp_path: Path) -> None:
    world = write_sounding_world(tmp_path / "world")
    rows = [json.loads(line) for line in (world / "captions.jsonl").read_text().splitlines()]
    rows = [
        {"video": row["video"], "split": row["split"], "question": "what is heard?", "answer": row["caption"][0]}
        for row in rows
    ]
    (world / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    module = Answering(
        build(audio_encoder=write_ast(tmp_path / "ast")),
        optimisation=FAST,
        modality_groups={"av": 0.5, "a": 0.5},
        validation_groups=("v", "a"),
    )
    trainer(tmp_path, max_steps=4).fit(
        module, CaptionData(f"questions:{world / 'asked.jsonl'}", batch_size=2, workers=0)
    )
    assert set(module.validation.group_scores) == {"v", "a"}
    assert module.validation.group_scores["v"].keys() == (module.scores or {}).keys()
    assert module.validation.videos == 4


def test_captions_are_refused(build: Build, world: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has captions alone: name a dataset of questions \(questions:FILE"):
        trainer(tmp_path).fit(Answering(build()), CaptionData(world / "captions.jsonl", batch_size=2, workers=0))


def test_an_answer_longer_than_the_positions_is_refused_before_a_step(
    build: Build, world: Path, tmp_path: Path
) -> None:
    long = {"video": "red-left-0.mp4", "question": "what happens?", "answer": "the red square moves " * 40}
    rows = [json.loads(line) for line in write_questions(world).read_text().splitlines()]
    path = world / "long.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, long | {"split": "train"}]))
    losses = Losses()
    for most, problem in (
        (64, r"the answer has \d+ tokens, and objective.max_tokens is 64"),
        (999, r"the question has"),
    ):
        module = Answering(build(), objective=Objective(max_tokens=most))
        with pytest.raises(DataError, match=rf"red-left-0.mp4#16: {problem}"):
            trainer(tmp_path, losses).fit(module, CaptionData(f"questions:{path}", batch_size=2, workers=0))
    assert losses.by_step == {}
