from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.captions import CAPTIONS
from safetensors.torch import load_file, save_file

from pseudocap import PseudoCap
from pseudocap.errors import CheckpointError, ConfigError, InputError
from pseudocap.hub.fetch import CONFIG_FILE, WEIGHTS_FILE
from pseudocap.model.config import GateSchedule
from pseudocap.zoo.tiny import write_opt, write_timesformer, write_tokenizer

Build = Callable[..., PseudoCap]


@pytest.fixture
def checkpoint(model: PseudoCap, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.mark.parametrize(
    "settings",
    [{}, {"fusion": "convex", "gate_schedule": GateSchedule(end=2.0, rate=0.1)}, {"gate": "scalar"}],
)
def test_a_saved_captioner_gives_the_same_logits_again(
    build: Build, frames: torch.Tensor, tmp_path: Path, settings: dict[str, object]
) -> None:
    model = build(**settings)
    model.set_gate_step(7)
    model.save_pretrained(tmp_path)
    again = PseudoCap.from_pretrained(tmp_path, device="cpu")
    ids = model.tokenize(CAPTIONS).input_ids
    assert torch.equal(again(ids, again.encode(frames)).logits, model(ids, model.encode(frames)).logits)
    assert again.config == model.config
    assert again.trainable_names == model.trainable_names
    assert not again.training


def test_a_checkpoint_holds_adapters_and_config_only(model: PseudoCap, checkpoint: Path) -> None:
    beside = ["README.md", "results.json"]  # which say what it is
    assert sorted(path.name for path in checkpoint.iterdir()) == sorted([WEIGHTS_FILE, CONFIG_FILE, *beside])
    saved = {f"decoder.adapters.{name}" for name in load_file(checkpoint / WEIGHTS_FILE)}
    assert saved == model.trainable_names


def test_loading_draws_nothing_and_what_is_loaded_is_its_own(checkpoint: Path) -> None:
    """No random start that would be written over; and adapters, which are pages of their file, never write to it."""
    state = torch.get_rng_state()
    first = PseudoCap.from_pretrained(checkpoint, device="cpu")
    assert torch.equal(torch.get_rng_state(), state)
    stored = {name: tensor.clone() for name, tensor in first.adapter_state().items()}
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(1.0)
    again = PseudoCap.from_pretrained(checkpoint, device="cpu")
    assert again.config == first.config
    assert all(torch.equal(tensor, stored[name]) for name, tensor in again.adapter_state().items())
    assert again.trainable_names == {name for name, each in again.named_parameters() if each.requires_grad}


def test_a_checkpoint_without_its_page_and_results_is_whole(model: PseudoCap, checkpoint: Path) -> None:
    (checkpoint / "README.md").unlink()
    (checkpoint / "results.json").unlink()
    assert PseudoCap.from_pretrained(checkpoint, device="cpu").config == model.config


def test_new_adapters_are_a_function_of_the_seed(backbones: Path) -> None:
    sources = {"decoder": backbones / "opt", "encoder": backbones / "timesformer", "device": "cpu"}
    state = torch.get_rng_state()
    first, again, other = (PseudoCap.from_backbones(**sources, seed=seed).adapter_state() for seed in (1, 1, 2))
    name = "2.attention.mix.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])
    assert torch.equal(torch.get_rng_state(), state)


def test_the_config_knows_the_encoders_own_preprocessing(backbones: Path) -> None:
    model = PseudoCap.from_backbones(
        decoder=backbones / "opt", encoder=backbones / "timesformer", num_frames=7, device="cpu"
    )
    assert (model.config.preprocess.size, model.config.preprocess.frames) == (16, 7)


def test_backbones_that_moved_are_found_where_the_user_says(backbones: Path, checkpoint: Path, tmp_path: Path) -> None:
    config = json.loads((checkpoint / CONFIG_FILE).read_text())
    config["decoder"]["source"] = config["encoders"]["video"]["source"] = str(tmp_path / "gone")
    (checkpoint / CONFIG_FILE).write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="backbones that are not there now"):
        PseudoCap.from_pretrained(checkpoint)
    moved = PseudoCap.from_pretrained(
        checkpoint, decoder=backbones / "opt", encoder=backbones / "timesformer", device="cpu"
    )
    assert moved.config.encoder.source == str(backbones / "timesformer")


def test_another_encoder_is_refused_before_it_can_caption(checkpoint: Path, tmp_path: Path) -> None:
    write_timesformer(tmp_path / "other", seed=9)
    with pytest.raises(CheckpointError, match=r"the encoder in .*other is not the one .* give it as encoder="):
        PseudoCap.from_pretrained(checkpoint, encoder=tmp_path / "other")


def test_another_decoder_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    write_opt(tmp_path / "other", seed=9, num_hidden_layers=4)
    with pytest.raises(CheckpointError, match=r"the decoder in .*other is not the one .* fingerprint"):
        PseudoCap.from_pretrained(checkpoint, decoder=tmp_path / "other")


def test_another_tokenizer_over_the_same_weights_is_refused(backbones: Path, checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(backbones / "opt", tmp_path / "opt")
    write_tokenizer(tmp_path / "retokenized", ["a red square moves"] * 3, vocabulary=270)
    for file in (tmp_path / "retokenized").iterdir():
        shutil.copy(file, tmp_path / "opt" / file.name)
    with pytest.raises(CheckpointError, match="splits or numbers words differently"):
        PseudoCap.from_pretrained(checkpoint, decoder=tmp_path / "opt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("2.norm.weight"), r"missing 2.norm.weight"),
        (lambda tensors: tensors.update(extra=torch.zeros(1)), r"unexpected extra"),
        (
            lambda tensors: tensors.update({"2.norm.weight": torch.zeros(3)}),
            r"2.norm.weight is \[3\] and should be \[16\]",
        ),
    ],
)
def test_a_missing_surplus_or_misshapen_key_is_named(
    checkpoint: Path, change: Callable[[dict[str, torch.Tensor]], object], message: str
) -> None:
    tensors = load_file(checkpoint / WEIGHTS_FILE)
    change(tensors)
    save_file(tensors, checkpoint / WEIGHTS_FILE)
    with pytest.raises(CheckpointError, match=message):
        PseudoCap.from_pretrained(checkpoint)


def test_a_truncated_file_is_named(checkpoint: Path) -> None:
    complete = (checkpoint / WEIGHTS_FILE).read_bytes()
    for length in (0, 5, len(complete) - 1):
        (checkpoint / WEIGHTS_FILE).write_bytes(complete[:length])
        with pytest.raises(CheckpointError, match=rf"{WEIGHTS_FILE} \({length} bytes\) is damaged or incomplete"):
            PseudoCap.from_pretrained(checkpoint)


def test_what_is_no_checkpoint_is_refused(backbones: Path, checkpoint: Path, tmp_path: Path) -> None:
    offer = r"is no directory here \(did you mean 'toy-mixed'\?\); `pseudocap zoo list` lists the \d+ that have a name"
    with pytest.raises(CheckpointError, match=offer):
        PseudoCap.from_pretrained("toy-mixd")
    with pytest.raises(CheckpointError, match=r"model_type is 'opt', not 'pseudocap'"):
        PseudoCap.from_pretrained(backbones / "opt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"has no config.json \(it holds nothing\)"):
        PseudoCap.from_pretrained(tmp_path / "empty")
    (checkpoint / WEIGHTS_FILE).unlink()
    with pytest.raises(CheckpointError, match=rf"has no {WEIGHTS_FILE} \(it holds README.md, config.json"):
        PseudoCap.from_pretrained(checkpoint)
    (checkpoint / CONFIG_FILE).write_text("{")
    with pytest.raises(CheckpointError, match="not readable as JSON"):
        PseudoCap.from_pretrained(checkpoint)


def test_a_failed_save_leaves_the_old_checkpoint_whole(model: PseudoCap, checkpoint: Path) -> None:
    before = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # the system itself now refuses to write more
    try:
        with pytest.raises(CheckpointError, match=r"could not be written.*untouched"):
            model.save_pretrained(checkpoint)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in checkpoint.iterdir()} == before


def test_saving_over_a_file_is_refused(model: PseudoCap, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match="is a file, so no checkpoint can be written there"):
        model.save_pretrained(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_backbones_that_are_not_what_they_should_be_are_refused(backbones: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="describes a 'timesformer'; the decoder must be a causal language model"):
        PseudoCap.from_backbones(decoder=backbones / "timesformer", encoder=backbones / "timesformer")
    shutil.copytree(backbones / "opt", tmp_path / "opt")
    weights = tmp_path / "opt" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"the decoder in .* could not be loaded"):
        PseudoCap.from_backbones(decoder=tmp_path / "opt", encoder=backbones / "timesformer")


def test_devices_that_cannot_be_are_refused_clearly() -> None:
    with pytest.raises(ConfigError, match="device 'gpu' is none that torch knows"):
        PseudoCap.from_backbones(decoder="x", encoder="y", device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match=r"device 'cuda' cannot be used here: .*try device='auto'"):
            PseudoCap.from_backbones(decoder="x", encoder="y", device="cuda")


def test_captions_are_framed_and_padding_has_no_label(model: PseudoCap) -> None:
    tokens = model.tokenize(["two dogs play", " a red square moves to the left and then stops "])
    lengths = tokens.attention_mask.sum(dim=1).tolist()
    for row, length in enumerate(lengths):
        ids = tokens.input_ids[row]
        assert ids[0] == ids[length - 1] == 2  # `</s>` opens and closes; only the closing one is to be learned
        assert (ids[1 : length - 1] != 2).all()
        assert tokens.labels[row, 0] == -100
        assert torch.equal(tokens.labels[row, 1:length], ids[1:length])
        assert (tokens.labels[row, length:] == -100).all()
    assert model.decode(tokens.input_ids) == [
        "two dogs play",
        "a red square moves to the left and then stops",
    ]


def test_special_tokens_in_a_caption_are_text(model: PseudoCap) -> None:
    tokens = model.tokenize(["a </s> red <pad> square"])
    assert (tokens.input_ids[0, 1:-1] > 3).all()
    assert model.decode(tokens.input_ids) == ["a </s> red <pad> square"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_both_ways_in_give_the_precision_asked_for(backbones: Path, checkpoint: Path, dtype: torch.dtype) -> None:
    built = PseudoCap.from_backbones(
        decoder=backbones / "opt", encoder=backbones / "timesformer", device="cpu", dtype=dtype
    )
    loaded = PseudoCap.from_pretrained(checkpoint, device="cpu", dtype=dtype)
    for model in (built, loaded):
        assert {parameter.dtype for parameter in model.parameters()} == {dtype}


def test_directories_are_recorded_so_that_they_are_found_from_elsewhere(
    backbones: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(backbones)
    model = PseudoCap.from_backbones(decoder="opt", encoder="timesformer", device="cpu")
    model.save_pretrained(tmp_path / "checkpoint")
    monkeypatch.chdir(tmp_path)
    assert PseudoCap.from_pretrained("checkpoint", device="cpu").config == model.config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_frames": 0}, "num_frames must be 1 to 96, not 0"),
        ({"num_frames": 97}, "num_frames must be 1 to 96, not 97"),
        ({"size": 17}, "size must be a multiple of the encoder's patch size 8, not 17"),
    ],
)
def test_preprocessing_that_the_encoder_cannot_take_is_refused(
    build: Build, settings: dict[str, int], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build(**settings)


def test_a_decoder_without_its_tokenizers_files_is_refused(backbones: Path, tmp_path: Path) -> None:
    shutil.copytree(backbones / "opt", tmp_path / "opt")
    for name in ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "opt" / name).unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match=r"tokenizer.*tokenizer_config.json, vocab.json and merges.txt there"):
        PseudoCap.from_backbones(decoder=tmp_path / "opt", encoder=backbones / "timesformer")


def test_adapters_that_are_no_numbers_are_refused(checkpoint: Path) -> None:
    tensors = load_file(checkpoint / WEIGHTS_FILE)
    for broken in (tensors["2.norm.weight"] * float("nan"), tensors["2.norm.weight"].int()):
        save_file({**tensors, "2.norm.weight": broken}, checkpoint / WEIGHTS_FILE)
        with pytest.raises(CheckpointError, match=r"NaN, infinite or whole numbers in 2.norm.weight"):
            PseudoCap.from_pretrained(checkpoint)


@pytest.mark.parametrize("field", ["adapter_layers", "preprocess", "fusion", "decoder"])
@pytest.mark.parametrize("value", [None, 2, "x", {"fingerprint": 3}, [[1]]])
def test_a_config_with_a_field_of_another_kind_is_a_checkpoint_error(
    checkpoint: Path, field: str, value: object
) -> None:
    config = json.loads((checkpoint / CONFIG_FILE).read_text())
    (checkpoint / CONFIG_FILE).write_text(json.dumps({**config, field: value}))
    with pytest.raises(CheckpointError, match=field):
        PseudoCap.from_pretrained(checkpoint)


@pytest.mark.slow
def test_a_killed_save_leaves_a_whole_checkpoint(model: PseudoCap, checkpoint: Path) -> None:
    """A process saves over the checkpoint without end and is killed, five times; each time it can still be loaded."""
    code = (
        "from pseudocap import PseudoCap\n"
        f"model = PseudoCap.from_pretrained({str(checkpoint)!r}, device='cpu')\n"
        "print('ready', flush=True)\n"
        f"while True: model.save_pretrained({str(checkpoint)!r})"
    )
    for number in range(5):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as saver:
            assert saver.stdout.readline() == "ready\n"
            time.sleep(0.05 + 0.013 * number)
            saver.kill()
        assert PseudoCap.from_pretrained(checkpoint, device="cpu").config == model.config


@pytest.mark.parametrize("captions", [[], "a dog", ["a dog", "  "], ["a dog", None]])
def test_captions_without_words_are_refused(model: PseudoCap, captions: object) -> None:
    with pytest.raises(InputError, match="caption"):
        model.tokenize(captions)


def test_an_absent_repo_offline_says_what_to_do(backbones: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=r"there is no directory nobody/nothing under .* could not be fetched"):
        PseudoCap.from_backbones(decoder="nobody/nothing", encoder=backbones / "timesformer")


def test_a_checkpoint_never_overwrites_a_backbone(model: PseudoCap, backbones: Path, tmp_path: Path) -> None:
    shutil.copytree(backbones / "opt", tmp_path / "opt")
    before = {path.name: path.read_bytes() for path in (tmp_path / "opt").iterdir()}
    for saver in (model, model.encoder):
        with pytest.raises(CheckpointError, match=r"holds a 'opt', which a '.*' must not overwrite"):
            saver.save_pretrained(tmp_path / "opt")
    assert {path.name: path.read_bytes() for path in (tmp_path / "opt").iterdir()} == before
    with pytest.raises(CheckpointError, match="needs a directory of its own"):
        model.save_pretrained("")


def test_all_files_of_a_checkpoint_can_be_read_by_the_same_people(checkpoint: Path) -> None:
    assert len({path.stat().st_mode for path in checkpoint.iterdir()}) == 1


def test_backbones_that_are_gone_are_told_together_with_the_remedy(checkpoint: Path) -> None:
    config = json.loads((checkpoint / CONFIG_FILE).read_text())
    config["decoder"]["source"], config["encoders"]["video"]["source"] = "/gone/opt", "/gone/timesformer"
    (checkpoint / CONFIG_FILE).write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"decoder was at /gone/opt and the encoder .*decoder=\.\.\., encoder="):
        PseudoCap.from_pretrained(checkpoint)


def test_a_file_where_a_directory_is_wanted_is_told(checkpoint: Path, backbones: Path) -> None:
    with pytest.raises(CheckpointError, match="is a file; give the directory that holds it"):
        PseudoCap.from_pretrained(checkpoint / CONFIG_FILE)
    with pytest.raises(CheckpointError, match="is a file; give the directory that holds it"):
        PseudoCap.from_backbones(decoder=backbones / "opt" / "config.json", encoder=backbones / "timesformer")
