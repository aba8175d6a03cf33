"""The command line as a user meets it: real processes for what a process promises, `main` for the rest."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from helpers.torch_free import TorchFree

from pseudocap.cli import doctor
from pseudocap.cli.main import VERBS, main
from pseudocap.model.encoders.timesformer import TimeSformer, TimeSformerConfig


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


@pytest.mark.parametrize(
    "code",
    [
        "import pseudocap",
        "import pseudocap; pseudocap.list_checkpoints()",
        "from pseudocap.cli.main import root_parser; root_parser()",
    ],
)
def test_importing_loads_no_torch(code: str) -> None:
    heavy = "{'torch', 'numpy', 'transformers', 'lightning', 'av', 'rich'}"
    assert run_python(f"import sys; {code}; print({heavy} & set(sys.modules))").stdout.strip() == "set()"


def test_help_is_there_in_under_three_tenths_of_a_second() -> None:
    times = []  # of the processor: the clock on the wall would measure what else runs here
    for _ in range(3):
        before = os.times()
        done = subprocess.run([sys.executable, "-m", "pseudocap", "--help"], capture_output=True, text=True, check=True)
        times.append(sum(os.times()[2:4]) - sum(before[2:4]))
    assert 0 < min(times) < 0.3
    assert all(verb in done.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_and_no_torch(verb: str, torch_free: TorchFree, tmp_path: Path) -> None:
    done = torch_free.run([verb, "--help"], tmp_path)
    assert f"example:\n  pseudocap {verb}" in done.out
    assert done.heavy == []


def test_a_mistyped_verb_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["doctr"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "error: there is no verb 'doctr' (did you mean 'doctor'?); see pseudocap --help\n"


def test_without_a_verb_all_verbs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    printed = capsys.readouterr().err
    assert all(f"  {verb} " in printed for verb in VERBS)


def test_ctrl_c_while_a_verb_is_loaded_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("importlib.import_module", interrupted)
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err == "\nstopped\n"


def test_an_unknown_option_and_an_unknown_choice_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["doctor", "--jsn"], "unrecognized arguments: --jsn (did you mean '--json'?)"),
        (["train", "mixd"], "(did you mean 'mixed'?)"),
        (["zoo", "lst"], "(did you mean 'list'?)"),
        (
            ["finetune", "--fromm", "x", "--data", "y", "--out", "z"],
            "required: --from; there is no --fromm (did you mean '--from'?)",
        ),
        (["data", "verify", "own", "--annotation=x"], "there is no --annotation (did you mean '--annotations'?)"),
        (["zoo", "build", "--ot", "z"], "--ot z (did you mean '--out'?); see pseudocap zoo build --help"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        err = capsys.readouterr().err
        assert stopped.value.code == 2
        assert err.startswith("error: ")
        assert message in err
        assert err.count("\n") == 1


def test_a_path_that_cannot_be_written_to_is_named_by_its_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "film.mp4").touch()
    (tmp_path / "file").touch()
    for option, words in (
        ("out", ["caption", str(tmp_path / "film.mp4")]),
        ("preview", ["caption", str(tmp_path / "film.mp4")]),
        ("to", ["pull", "toy-mixed"]),
    ):
        for target in ("/proc/nope/x", str(tmp_path / "file" / "x")):
            assert main([*words, f"--{option}", target]) == 2
            printed = capsys.readouterr().err
            assert printed.startswith(f"error: --{option} {target} cannot be written (")
            assert printed.endswith("name a path where you may write and that has room\n")
            assert printed.count("\n") == 1


@pytest.fixture
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens there, so no test waits for the network."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


@pytest.mark.usefixtures("_no_hub")
def test_doctor_names_every_part_and_what_is_missing_costs_something(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["doctor", "--json", "--timeout", "2"]) == 0
    findings = {finding["part"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert {
        "Python",
        "torch",
        *(f"extra: {extra}" for extra in doctor.EXTRAS),
        "GPU",
        "decoder: PyAV",
        "decoder: torchcodec",
        "Java",
        "hub",
        "disk",
        "checkpoints.yaml",
    } <= set(findings)
    assert findings["decoder: PyAV"]["status"] == "ok"
    assert all(finding["cost"] for finding in findings.values() if finding["status"] != "ok")


@pytest.mark.usefixtures("_no_hub")
def test_doctor_shows_a_table_in_eighty_columns_and_breaks_no_url_and_no_word_to_copy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(doctor, "EXTRAS", {"deepspeed": ("gone-package", "--trainer.strategy deepspeed_stage_2")})
    assert main(["doctor", "--timeout", "2"]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    for whole in ("decoder: PyAV", "what its absence costs", "http://127.0.0.1:9:", "'pseudocap[deepspeed]'"):
        assert whole in printed


def test_doctor_shows_the_extra_that_is_to_be_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(doctor, "EXTRAS", {"app": ("gone-package", "pseudocap app")})
    monkeypatch.setattr(doctor, "examine", lambda timeout: [doctor.check_extra("app")])
    assert main(["doctor"]) == 0
    assert "pip install 'pseudocap[app]'" in capsys.readouterr().out


def test_doctor_tells_a_missing_java_and_a_hub_that_is_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    java = doctor.check_java(2.0)
    assert (java.status, java.cost) == ("missing", "METEOR and SPICE are reported as not computed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert doctor.check_hub(2.0).detail == "HF_HUB_OFFLINE is set"
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert doctor.check_hub(2.0).status == "missing"


def test_the_extras_that_doctor_looks_for_are_those_that_can_be_installed() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    packages = {
        name: re.split(r"[\[>=]", wanted[0])[0]
        for name, wanted in project["optional-dependencies"].items()
        if name not in ("dev", "docs")
    }
    assert {extra: package for extra, (package, _) in doctor.EXTRAS.items()} == packages


def test_doctor_reports_a_package_that_is_not_there() -> None:
    assert doctor.check_package("no-such-package").status == "broken"


def test_convert_writes_what_from_pretrained_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = TimeSformerConfig(image_size=16, patch_size=8, num_frames=16, width=64, depth=2, heads=1, mlp_width=32)
    encoder = TimeSformer(config)
    source, out = tmp_path / "x.pyth", tmp_path / "out"
    torch.save({"model_state": {f"model.{key}": value for key, value in encoder.state_dict().items()}}, source)
    assert main(["convert", "timesformer", str(source), str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    again = TimeSformer.from_pretrained(out)
    assert again.config == config
    assert result["fingerprint"] == again.origin.fingerprint

    assert main(["convert", "timesformer", str(source), str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["convert", "timesformer", str(source), str(out), "--force"]) == 0


def test_convert_says_what_is_wrong_in_one_line_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for content in (None, b"", b"text, no checkpoint"):
        source = tmp_path / "x.pyth"
        if content is not None:
            source.write_bytes(content)
        assert main(["convert", "timesformer", str(source), str(tmp_path / "out")]) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"error: {source}")
        assert err.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_the_demo_from_nothing_learns_and_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--from-nothing", "--steps", "2", "--out", str(tmp_path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["films"] == 48
    assert (tmp_path / "checkpoint" / "adapter_model.safetensors").is_file()
    assert main(["demo", "--from-nothing", "--steps", "0"]) == 2
    assert "--steps must be at least 1" in capsys.readouterr().err


@pytest.mark.slow
def test_the_demo_from_nothing_tells_directions_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--from-nothing", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["right"] >= 36  # of 48; chance is 4
