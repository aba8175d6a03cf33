from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.running import FAST, Stop, StoppedError, saving, trainer

from pseudocap import PseudoCap
from pseudocap.cli.main import main
from pseudocap.data import StreamData
from pseudocap.errors import ConfigError, InputError
from pseudocap.metrics.suite import score
from pseudocap.regimes.losses import Objective
from pseudocap.regimes.self_critical import END, Reward, Sampling, SelfCritical, advantages
from pseudocap.types import Batch

Build = Callable[..., PseudoCap]
REFERENCES = {
    "one": ["a red square moves left", "the red square goes left"],
    "two": ["a blue square moves right", "the blue square goes right"],
    "three": ["two dogs play", "dogs play on a stage"],
}


@pytest.fixture
def memories(world: Path, backbones: Path, tmp_path: Path) -> Path:
    words = ["--encoder", str(backbones / "timesformer"), "--out", str(tmp_path / "memories"), "--workers", "0"]
    assert main(["encode", str(world / "captions.jsonl"), *words, "--size", "16", "--frames", "4"]) == 0
    return tmp_path / "memories"


def scored(reward: Reward, captions: dict[str, str]) -> np.ndarray:
    return reward(list(captions), list(captions.values()))


def test_captions_of_one_key_are_scored_apart() -> None:
    reward = Reward(REFERENCES, bleu=0.5)
    keys, captions = (
        ["one", "two", "one", "one"],
        ["a red square", "a blue square", "the red square goes left", "dogs"],
    )
    each = [float(reward([key], [caption])[0]) for key, caption in zip(keys, captions, strict=True)]
    np.testing.assert_allclose(reward(keys, captions), each)
    assert len({each[0], each[2], each[3]}) == 3, "three captions of one picture"


def test_the_reward_is_cider_d_of_captions_that_end() -> None:
    captions = {"one": "a red square moves left", "two": "a blue square goes left", "three": "dogs play"}
    ended = {key: f"{caption} {END}" for key, caption in captions.items()}
    references = {key: [f"{text} {END}" for text in texts] for key, texts in REFERENCES.items()}
    expected = score(predictions=ended, references=references, metrics=("CIDEr-D",))["CIDEr-D"]
    assert np.mean(scored(Reward(REFERENCES, bleu=0.0), captions)) * 100 == pytest.approx(expected)


def test_bleu_rewards_a_caption_whose_order_is_right() -> None:
    plain, with_bleu = (Reward(REFERENCES, bleu=weight) for weight in (0.0, 1.0))
    perfect = {key: texts[0] for key, texts in REFERENCES.items()}
    np.testing.assert_allclose(scored(with_bleu, perfect) - scored(plain, perfect), 1.0)
    jumbled = {"one": "left moves square red a"}
    assert 0.0 < float(scored(with_bleu, jumbled)[0] - scored(plain, jumbled)[0]) < 0.5


def test_a_caption_that_breaks_off_is_worth_less() -> None:
    reward = Reward({"one": ["a man rides a bicycle"], "two": ["a dog sleeps"]}, bleu=0.5)
    complete, cut = (float(reward(["one"], [text])[0]) for text in ("a man rides a bicycle", "a man rides a"))
    assert complete > 1.3 * cut


def test_an_advantage_is_what_a_sample_has_over_the_others() -> None:
    rewards = torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])
    torch.testing.assert_close(advantages(rewards), torch.tensor([[-1.5, 0.0, 1.5], [0.0, 0.0, 0.0]]))


def test_a_sample_that_is_better_than_the_others_becomes_likelier(build: Build) -> None:
    module = SelfCritical(build(), sampling=Sampling(samples=2, temperature=1.0, caption=0.0))
    model = module.model
    memory = model.encode(torch.randn(2, 4, 3, 16, 16))
    batch = Batch(keys=("a", "b"), modality="video", captions=("a dog", "a cat"), references=((), ()), memory=memory)
    texts = ["a red square moves", "two dogs", "a blue square", "guitar on a stage"]
    tokens = model.tokenize(texts)

    def likelihoods() -> torch.Tensor:
        logits = model(tokens.input_ids, memory, attention_mask=tokens.attention_mask).logits.log_softmax(-1)
        of_next = logits[:, :-1].gather(2, tokens.input_ids[:, 1:, None])[..., 0]
        return (of_next * tokens.attention_mask[:, 1:]).sum(1).detach()

    before = likelihoods()
    loss = module.loss_of(batch, memory, tokens.input_ids, torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
    loss.backward()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in model.trainable_names:
                parameter -= 0.05 * parameter.grad
    assert (likelihoods() - before > 0).tolist() == [True, False, False, True]


def test_a_resumed_run_samples_and_learns_the_same(build: Build, memories: Path, tmp_path: Path) -> None:
    def parts() -> tuple[SelfCritical, StreamData]:
        module = SelfCritical(build(), optimisation=FAST, sampling=Sampling(samples=4, max_new_tokens=8), seed=1)
        return module, StreamData(videos=memories, batch_size=7, workers=0, seed=0)

    # Of 8 memories batches of 7: the second has some of two epochs, and one of them twice.
    complete, data = parts()
    trainer(tmp_path / "complete", max_steps=4).fit(complete, data)
    stopped = trainer(tmp_path, saving(tmp_path), Stop(3), max_steps=4, enable_checkpointing=True)
    with pytest.raises(StoppedError):
        stopped.fit(*parts())
    resumed, data = parts()
    trainer(tmp_path / "rest", max_steps=4).fit(resumed, data, ckpt_path=str(tmp_path / "last.ckpt"))
    start = build().adapter_state()
    assert any(not torch.equal(tensor, start[name]) for name, tensor in complete.model.adapter_state().items())
    for name, tensor in complete.model.adapter_state().items():
        assert torch.equal(tensor, resumed.model.adapter_state()[name]), name


def test_tars_are_refused_since_their_captions_are_not_listed(build: Build, tars: Path, tmp_path: Path) -> None:
    data = StreamData(videos=tars / "videos", batch_size=2, workers=0)
    with pytest.raises(ConfigError, match="encode them"):
        trainer(tmp_path).fit(SelfCritical(build(), optimisation=FAST), data)


def test_wrong_settings_are_refused(build: Build) -> None:
    for name, value in (("samples", 1), ("temperature", 0.0), ("max_new_tokens", 1), ("bleu", -1.0), ("caption", -0.1)):
        with pytest.raises(ConfigError, match=f"sampling.{name}"):
            Sampling(**{name: value})
    with pytest.raises(ConfigError, match="leave the rest of objective out"):
        SelfCritical(build(), objective=Objective(smoothing=0.1))
    with pytest.raises(ConfigError, match="one video"):
        Reward({"one": ["a dog"]}, bleu=0.0)
    with pytest.raises(InputError, match="no references of four"):
        Reward(REFERENCES, bleu=0.0)(["four"], ["a dog"])
