"""`pseudocap train` and `pseudocap finetune` as a user runs them, with right and wrong input."""

from __future__ import annotations

import csv
import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers.decoders import write_decoder
from helpers.image_models import VIT, write_timm
from helpers.small_worlds import write_world
from helpers.tars import image_tars, video_tars
from lightning.pytorch.callbacks import Callback

from pseudocap import PseudoCap
from pseudocap.cli.main import main
from pseudocap.errors import CheckpointError
from pseudocap.hub.checkpoint import read_config
from pseudocap.regimes import finetune_run as tuning
from pseudocap.regimes.checkpointing import AtomicCheckpoints
from pseudocap.regimes.finetune_run import Tuned
from pseudocap.regimes.logs import RunLogger
from pseudocap.regimes.table import CONFIGS, REGIMES

FEW = ["--data.batch_size", "2", "--data.workers", "0", "--trainer.accelerator", "cpu"]
FEW += ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_world(tmp_path_factory.mktemp("world"))
    image_tars(folder / "images")
    video_tars(folder / "pseudolabels")
    speech = {"start": [0.0, 1.0], "end": [1.0, 2.0], "text": ["so today we", "paint a square"]}
    (folder / "caption.json").write_text(json.dumps({"red-left-0": speech, "blue-right-0": speech}))
    return folder


def arguments(regime: str, world: Path, backbones: Path, out: Path) -> list[str]:
    sources = {
        "asr": ["--data.transcripts", str(world / "caption.json"), "--data.videos", str(world)],
        "image-only": ["--data.images", str(world / "images")],
        "video-only": ["--data.videos", str(world / "pseudolabels")],
        "mixed": ["--data.images", str(world / "images"), "--data.videos", str(world / "pseudolabels")],
    }
    where = ["--model.model.init_args.decoder", str(backbones / "opt")]
    where += ["--model.model.init_args.encoder", str(backbones / "timesformer"), "--out", str(out)]
    return ["train", regime, "--config", "toy", *where, *sources[regime.removesuffix("-ext")], *FEW]


@pytest.mark.parametrize("regime", list(REGIMES))
def test_every_regime_trains_from_its_shipped_config(
    regime: str, world: Path, backbones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main([*arguments(regime, world, backbones, out), "--trainer.max_steps", "2"]) == 0
    assert "2 steps" in capsys.readouterr().out
    assert PseudoCap.from_pretrained(out / "last", device="cpu").caption(world / "red-left-0.mp4") is not None
    saved = yaml.safe_load((out / "config.yaml").read_text())
    assert saved["trainer"]["max_steps"] == 2
    assert saved["data"]["batch_size"] == 2
    assert main([*arguments(regime, world, backbones, out), "--trainer.max_steps", "2"]) == 2
    assert "holds a run already" in capsys.readouterr().err


def test_a_run_learns_between_other_families_and_is_gone_on_with(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_decoder(tmp_path / "opt", "llama")
    write_timm(tmp_path / "timesformer", **VIT)
    words = arguments("image-only", world, tmp_path, tmp_path / "run")
    assert main([*words, "--model.model.init_args.adapter_width", "8", "--trainer.max_steps", "2"]) == 0
    again = [*words, "--model.model.init_args.adapter_width", "8", "--trainer.max_steps", "3", "--resume"]
    assert main(again) == 0, capsys.readouterr().err
    assert "3 steps" in capsys.readouterr().out
    model = PseudoCap.from_pretrained(tmp_path / "run" / "last", device="cpu")
    assert model.config.adapter_width == 8
    assert model.encoder.kind == "frames"


@pytest.mark.parametrize("scale", ["toy", "paper"])
@pytest.mark.parametrize("regime", list(REGIMES))
def test_a_shipped_config_is_accepted_and_has_the_papers_length(
    regime: str, scale: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as done:
        main(["train", regime, "--config", scale, "--print_config"])
    assert done.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    if scale == "paper":
        assert printed["trainer"]["max_steps"] == {"mixed-ext": 40_000}.get(regime, 4_000)
        data, trainer = printed["data"], printed["trainer"]
        clips = data["batch_size"] * trainer["devices"] * trainer["accumulate_grad_batches"]
        if "image" in regime or "mixed" in regime:
            clips *= data["image_batch_factor"]
        assert 1_150 <= clips <= 1_300
        assert data["epoch_steps"] % trainer["accumulate_grad_batches"] == 0, "or the last step is a smaller one"
    assert (CONFIGS / f"{regime}-{scale}.yaml").is_file()


def test_named_streams_may_be_given_in_a_config(capsys: pytest.CaptureFixture[str]) -> None:
    given = {"streams": {"speech": "talks/", "pictures": "photos/"}, "probabilities": {"image": 1.0}}
    options = [f"--data.{name}={json.dumps(value)}" for name, value in given.items()]
    with pytest.raises(SystemExit) as done:
        main(["train", "mixed", "--config", "toy", *options, "--print_config"])
    assert done.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)["data"]
    assert {name: printed[name] for name in given} == given


def test_help_explains_every_field_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "mixed", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for field in ("--model.optimisation.lr", "--model.objective.max_tokens", "--model.decoding.beams", "--data.mix"):
        explanation = text.split(f"{field} ")[-1]
        assert not explanation.split(" ", 1)[1].startswith("(type"), f"{field} has no help"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--model.optimisation.lrr", "1"], "did you mean 'model.optimisation.lr'?"),
        (["--model.optimisation.lr", "0"], "optimisation.lr must be above 0"),
        (["--data.batch_size", "many"], "Expected a <class 'int'>"),
        (["--data.images", "nowhere"], "nowhere: there is no such tar or folder"),
        (["--model.model.init_args.decoder", "nowhere"], "nowhere"),
        (["--model.objective.gate_entropy", "0.1"], "fusion='convex'"),
        (["--model.seed", "-1"], "seed must be from 0"),
        (["--checkpoint_every", "0"], "at least 1 step between two checkpoints"),
        (["--trainer.max_steps", "-1", "--trainer.max_epochs", "-1"], "the run has no end"),
        (["--trainer.accelerator", "gpu"], "--trainer.* sets it"),
        (["--trainer.strategy", "deepspeed_stage_2"], "--trainer.* sets it"),
    ],
)
def test_a_wrong_setting_is_one_line(
    change: list[str], message: str, world: Path, backbones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments("mixed", world, backbones, tmp_path / "run"), *change]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert message in error[0]


def test_one_plugin_and_no_logger_are_settings_like_others(
    world: Path, backbones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy").mkdir()
    monkeypatch.chdir(tmp_path)  # where a folder is called as a shipped config
    command = [*arguments("video-only", world, backbones, tmp_path / "run"), "--trainer.max_steps", "1"]
    command += [
        "--trainer.logger",
        "false",
        "--trainer.plugins",
        "lightning.pytorch.plugins.environments.LightningEnvironment",
    ]
    assert main(command) == 0
    assert (tmp_path / "run" / "last" / "config.json").is_file()


def test_a_run_is_not_gone_on_with_under_another_seed_or_accumulation(
    world: Path, backbones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*arguments("video-only", world, backbones, tmp_path / "run"), "--checkpoint_every", "1"]
    assert main([*command, "--trainer.max_steps", "1"]) == 0
    for change in (["--model.seed", "5"], ["--trainer.accumulate_grad_batches", "2"]):
        assert main([*command, "--trainer.max_steps", "2", "--resume", *change]) == 2
        assert f"had {change[0].removeprefix('--')}" in capsys.readouterr().err


def test_a_mistyped_key_in_a_file_names_the_nearest(
    world: Path, backbones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text((CONFIGS / "mixed-toy.yaml").read_text().replace("warmup_steps", "warm_up_steps"))
    data = ["--data.images", str(world / "images"), "--data.videos", str(world / "pseudolabels")]
    assert main(["train", "mixed", "--config", str(config), *data]) == 2
    assert "did you mean 'optimisation.warmup_steps'?" in capsys.readouterr().err
    assert main(["train", "mixed", "--config", "tyo"]) == 2
    assert "did you mean 'toy'?" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_weights(world: Path, backbones: Path, tmp_path: Path) -> None:
    def command(out: str, *more: str) -> list[str]:
        settings = arguments("mixed", world, backbones, tmp_path / out)
        return [
            sys.executable,
            "-m",
            "pseudocap",
            *settings,
            "--checkpoint_every",
            "2",
            "--trainer.max_steps",
            "60",
            *more,
        ]

    subprocess.run(command("whole"), check=True, capture_output=True)
    process = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoint = tmp_path / "killed" / "checkpoints" / "last.ckpt"
    while not checkpoint.exists():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert torch.load(checkpoint, weights_only=False)["global_step"] < 60
    config = (tmp_path / "killed" / "config.yaml").read_text()
    metrics = tmp_path / "killed" / "metrics.csv"
    steps = {row["step"] for row in csv.DictReader(metrics.read_text().splitlines())} if metrics.exists() else set()
    refused = subprocess.run(command("killed", "--resume", "--data.batch_size", "3"), check=False, capture_output=True)
    assert refused.returncode == 2
    subprocess.run(command("killed", "--resume"), check=True, capture_output=True)
    assert (tmp_path / "killed" / "config.yaml").read_text() == config
    assert steps <= {row["step"] for row in csv.DictReader(metrics.read_text().splitlines())}
    weights = [PseudoCap.from_pretrained(tmp_path / out / "last").adapter_state() for out in ("whole", "killed")]
    for name, whole in weights[0].items():
        assert torch.equal(whole, weights[1][name]), name


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    saver = AtomicCheckpoints()
    saver.save_checkpoint({"weights": torch.zeros(4)}, path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(CheckpointError, match=r"last\.ckpt could not be written"):
            saver.save_checkpoint({"weights": torch.ones(100_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert torch.equal(torch.load(path)["weights"], torch.zeros(4))
    assert list(tmp_path.iterdir()) == [path]


def test_finetune_ends_with_a_captioner_a_report_and_the_command_to_publish(
    world: Path,
    backbones: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = PseudoCap.from_backbones(decoder=backbones / "opt", encoder=backbones / "timesformer", device="cpu")
    start.save_pretrained(tmp_path / "start")
    run = tmp_path / "run"
    (elsewhere := tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(elsewhere)
    command = ["finetune", "--from", str(tmp_path / "start"), "--data", str(world / "captions.jsonl")]
    command += ["--out", str(run), "--max-epochs", "2", "--workers", "0", "--device", "cpu", "--size", "32"]
    assert main([*command, "--json"]) == 0
    assert not list(elsewhere.iterdir())
    assert not list(run.rglob(".*.part"))
    assert sorted(path.name for path in run.iterdir()) == [
        *("baseline.json", "best", "captions", "checkpoints", "curves.png", "last"),
        *("metrics.csv", "report.md", "results.json"),
    ]
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["last.ckpt"]
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert PseudoCap.from_pretrained(result["captioner"], device="cpu").caption(world / "red-left-0.mp4") is not None
    assert (run / "curves.png").stat().st_size > 1000
    report = (run / "report.md").read_text()
    assert "| video | before | after | a reference |" in report
    assert "could be decoded: 2 of 2." in report, "of what validates alone, and not of what is learned"
    kept = json.loads((run / "best" / "results.json").read_text())
    assert (kept["step"], kept["scores_step"], kept["scores"]) == (0, 0, result["before"])
    sizes = [read_config(run / name).preprocess.size for name in ("best", "last")]
    assert sizes == [32, 32], "what it was validated at and learned at is what it will be shown"
    assert set(result["after"]) == {"CIDEr-D", "BLEU-4", "ROUGE-L"}
    named = "--decoder OWNER/DECODER --encoder OWNER/ENCODER"  # they are directories here
    assert result["push"] == f"pseudocap push {run / 'best'} OWNER/NAME {named}"
    kept = json.loads((run / "best" / "results.json").read_text())
    assert kept["scores"] == result["after"]
    assert all(low <= kept["scores"][name] <= high for name, (low, high) in kept["intervals"].items())
    assert str(tmp_path) not in (run / "best" / "results.json").read_text()
    assert kept["command"].startswith("pseudocap finetune --from start --data captions.jsonl")
    assert not result["improved"]
    assert "CIDEr-D never rose" in report
    assert main(command) == 2
    assert "holds a run already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--batch-size": "0"}, "--batch-size must be at least 1"),
        ({"--data": "nowhere.jsonl"}, "no such file"),
        ({"--from": "nowhere"}, "nowhere is no directory here"),
        ({"--lr": "0"}, "--lr must be above 0"),
        ({"--max-epochs": "0"}, "--max-epochs must be at least 1"),
        ({"--videos": "nowhere"}, "no such folder"),
    ],
)
def test_finetune_tells_a_mistake_in_one_line(
    change: dict[str, str],
    message: str,
    world: Path,
    backbones: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = PseudoCap.from_backbones(decoder=backbones / "opt", encoder=backbones / "timesformer", device="cpu")
    start.save_pretrained(tmp_path / "start")
    options = {"--from": str(tmp_path / "start"), "--data": str(world / "captions.jsonl"), "--out": str(tmp_path / "r")}
    options |= {"--workers": "0", "--device": "cpu", **change}
    assert main(["finetune", *(word for pair in options.items() for word in pair)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "r" / "best").exists()


def test_finetune_goes_on_without_half_of_its_videos_where_that_is_allowed(
    backbones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = PseudoCap.from_backbones(decoder=backbones / "opt", encoder=backbones / "timesformer", device="cpu")
    start.save_pretrained(tmp_path / "start")
    folder = write_world(tmp_path / "world")
    rows = [json.loads(line) for line in (folder / "captions.jsonl").read_text().splitlines()]
    captions = folder / "own.jsonl"
    captions.write_text("".join(json.dumps({k: row[k] for k in ("video", "caption")}) + "\n" for row in rows))
    for row in rows[: len(rows) // 2]:
        (folder / row["video"]).unlink()
    command = ["finetune", "--from", str(tmp_path / "start"), "--data", str(captions), "--out", str(tmp_path / "r")]
    command += ["--val-share", "0.5", "--max-epochs", "1", "--workers", "0", "--device", "cpu"]
    assert main(command) == 2
    assert f"{len(rows) // 2} of {len(rows)} videos are not below" in capsys.readouterr().err
    assert main([*command, "--max-failure-rate", "0.5"]) == 0
    assert "videos in a batch: 2\n" in capsys.readouterr().out


def test_a_finetuning_that_learned_nothing_may_be_tried_again(
    world: Path, backbones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = PseudoCap.from_backbones(decoder=backbones / "opt", encoder=backbones / "timesformer", device="cpu")
    start.save_pretrained(tmp_path / "start")
    folder = write_world(tmp_path / "broken")
    for path in folder.glob("*.mp4"):
        if path.name not in ("green-right-0.mp4", "white-right-0.mp4"):  # which validate
            path.write_bytes(b"no video")
    command = ["finetune", "--from", str(tmp_path / "start"), "--data", str(folder / "captions.jsonl")]
    assert main([*command, "--out", str(tmp_path / "r"), "--workers", "0", "--device", "cpu"]) == 2
    assert "cannot be decoded" in capsys.readouterr().err
    assert not (tmp_path / "r" / "best").exists()


class PressesCtrlC(Callback):
    """Once, in the run's second step."""

    def on_train_batch_start(self, trainer: Any, *_: object) -> None:
        if trainer.global_step == 1:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_saves_a_finetuning_and_prints_the_command_that_goes_on(
    world: Path, backbones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = PseudoCap.from_backbones(decoder=backbones / "opt", encoder=backbones / "timesformer", device="cpu")
    start.save_pretrained(tmp_path / "start")
    fine_tune = tuning.fine_tune

    def interrupted(*args: Any, **options: Any) -> Tuned:
        return fine_tune(*args, callbacks=[PressesCtrlC()], **options)

    command = ["finetune", "--from", str(tmp_path / "start"), "--data", str(world / "captions.jsonl")]
    command += ["--workers", "0", "--device", "cpu", "--max-epochs", "2", "--batch-size", "2", "--out"]
    run = tmp_path / "a run"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(tuning, "fine_tune", interrupted)
            assert main([*command, str(run)]) == 130
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    stopped, offer = capsys.readouterr().err.splitlines()[-2:]
    assert stopped == "stopped after step 2, which last.ckpt holds"
    assert offer.startswith("to go on: pseudocap finetune --from ")
    words = shlex.split(offer.removeprefix("to go on: pseudocap "))
    assert words == [*command, str(run), "--resume"]
    assert main([*command, str(run)]) == 2
    assert "holds a run already; go on with it (--resume)" in capsys.readouterr().err
    assert main([*words, "--lr", "1"]) == 2
    assert "the run to resume had --lr 0.0005 and this one has 1.0" in capsys.readouterr().err
    with torch.no_grad():
        next(iter(start.decoder.adapters.parameters())).add_(1.0)
    start.save_pretrained(tmp_path / "other")
    assert main([*(str(tmp_path / "other") if word == str(tmp_path / "start") else word for word in words)]) == 2
    assert "the run to resume had the captioner --from " in capsys.readouterr().err
    assert main(words) == 0
    assert main([*command, str(tmp_path / "whole")]) == 0
    weights = [PseudoCap.from_pretrained(out / "last").adapter_state() for out in (run, tmp_path / "whole")]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_there_is_nothing_to_resume_in_an_empty_folder(
    world: Path, backbones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["finetune", "--from", "toy-mixed", "--data", str(world / "captions.jsonl"), "--resume"]
    assert main([*command, "--out", str(tmp_path)]) == 2
    assert "holds no run to go on with" in capsys.readouterr().err


def test_finetune_with_one_validation_video_says_what_is_missing(
    world: Path, backbones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = PseudoCap.from_backbones(decoder=backbones / "opt", encoder=backbones / "timesformer", device="cpu")
    start.save_pretrained(tmp_path / "start")
    rows = [json.loads(line) for line in (world / "captions.jsonl").read_text().splitlines()]
    few = [*(row for row in rows if row["split"] == "train"), next(row for row in rows if row["split"] == "val")]
    captions = world / "few.jsonl"
    captions.write_text("".join(json.dumps(row) + "\n" for row in few))
    command = ["finetune", "--from", str(tmp_path / "start"), "--data", str(captions), "--out", str(tmp_path / "r")]
    assert main([*command, "--workers", "0", "--device", "cpu"]) == 2
    assert "at least two videos" in capsys.readouterr().err


def test_finetune_holds_out_two_of_a_handful_of_videos_and_refuses_two(
    world: Path, backbones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = PseudoCap.from_backbones(decoder=backbones / "opt", encoder=backbones / "timesformer", device="cpu")
    start.save_pretrained(tmp_path / "start")
    rows = [json.loads(line) for line in (world / "captions.jsonl").read_text().splitlines()]
    lines = [json.dumps({key: row[key] for key in ("video", "caption")}) + "\n" for row in rows]
    captions = world / "own.jsonl"
    command = ["finetune", "--from", str(tmp_path / "start"), "--data", str(captions), "--out", str(tmp_path / "r")]
    command += ["--max-epochs", "1", "--workers", "0", "--device", "cpu", "--json"]
    captions.write_text("".join(lines[:2]))
    assert main(command) == 2
    assert "at least two videos" in capsys.readouterr().err
    assert not (tmp_path / "r").exists(), "it is refused before anything is written"
    captions.write_text("".join(lines[:4]))
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["videos"] == 2


def test_metrics_are_gone_on_with(tmp_path: Path) -> None:
    for step, name in ((1, "loss"), (2, "score")):
        logger = RunLogger(tmp_path)
        logger.log_metrics({name: float(step)}, step=step)
        logger.save()
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    assert [(row["step"], row["loss"], row["score"]) for row in rows] == [("1", "1.0", ""), ("2", "", "2.0")]


def test_a_mistyped_option_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["finetune", "--from", "a", "--data", "b", "--out", "c", "--vidoes", "d"])
    assert "did you mean '--videos'?" in capsys.readouterr().err
