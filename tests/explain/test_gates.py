"""Gates read from a checkpoint's file are those of the captioner that is loaded from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from pseudocap import PseudoCap
from pseudocap.cli.main import main
from pseudocap.errors import CheckpointError
from pseudocap.explain.gates import Gate, count_gates, read_gates, sparkline
from pseudocap.hub.fetch import WEIGHTS_FILE
from pseudocap.model.config import GateSchedule

Build = Callable[..., PseudoCap]


def shaken(model: PseudoCap) -> PseudoCap:
    """Gates that differ."""
    with torch.no_grad():
        for adapter in model.adapters.values():
            for parameter in adapter.parameters(recurse=False):
                parameter += torch.randn(parameter.shape)
    return model


@pytest.mark.parametrize(
    "options",
    [{}, {"gate": "scalar"}, {"fusion": "convex", "gate_schedule": GateSchedule(end=2.0, rate=0.1)}],
)
def test_gates_of_a_file_are_those_of_the_captioner(build: Build, tmp_path: Path, options: dict[str, object]) -> None:
    model = shaken(build(adapter_layers=(1, 2), **options))
    model.set_gate_step(7)
    model.half().save_pretrained(tmp_path)
    found = read_gates(tmp_path / WEIGHTS_FILE, model.config)
    there = [(layer, name, gate) for layer, each in model.adapters.items() for name, gate in each.gates().items()]
    assert [(gate.layer, gate.name) for gate in found] == [(layer, name) for layer, name, _ in there]
    for gate, (_, _, values) in zip(found, there, strict=True):
        assert np.array_equal(gate.values, values.detach().float().numpy())


def test_no_gate_is_left_out_of_a_histogram_and_all_have_the_same_bins() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.2, (4, 300)).astype(np.float32)
    histograms = count_gates([Gate(layer=layer, name="gate", values=row) for layer, row in enumerate(values)])
    assert histograms.counts.sum(axis=1).tolist() == [300] * 4
    assert histograms.edges[0] <= values.min() < values.max() <= histograms.edges[-1]
    equal = count_gates([Gate(layer=0, name="gate", values=np.full(9, 0.25, np.float32))])
    assert equal.counts.sum() == 9
    assert equal.edges[-1] > equal.edges[0]


def test_a_sparkline_has_a_bar_for_every_bin_and_shows_the_rarest() -> None:
    assert sparkline(np.array([0, 1, 500, 1000])) == " ▁▄█"
    assert sparkline(np.zeros(3, int)) == "   "


def test_the_verb_shows_the_gates_of_a_directory_and_of_a_row(
    build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    model = shaken(build(adapter_layers=(1, 3)))
    model.save_pretrained(tmp_path / "mine")
    picture = tmp_path / "gates.png"
    assert main(["zoo", "show", str(tmp_path / "mine"), "--gates", "--out", str(picture), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(gate["layer"], gate["gate"]) for gate in told["gates"]] == [
        *((1, "attention"), (1, "ffn"), (3, "attention"), (3, "ffn"))
    ]
    assert all(sum(gate["counts"]) == 16 for gate in told["gates"])
    assert len(told["edges"]) == len(told["gates"][0]["counts"]) + 1
    with Image.open(picture) as drawn:
        assert drawn.size[0] > 400
    assert main(["zoo", "show", str(tmp_path / "mine"), "--gates"]) == 0
    shown = capsys.readouterr().out
    mean = model.adapters[3].gates()["attention"].mean().item()
    assert f"{mean:.3f}" in shown
    assert any(bar in shown for bar in "▁▂▃▄▅▆▇█")


def test_mistakes_with_gates_are_told(build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = build()
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / WEIGHTS_FILE)
    assert main(["zoo", "show", str(tmp_path), "--out", "gates.png"]) == 2
    assert "--out is the picture of --gates" in capsys.readouterr().err
    assert main(["zoo", "show", str(tmp_path), "--gates", "--out", "gates.txt"]) == 2
    assert "gates.txt: a figure is a .png" in capsys.readouterr().err
    save_file({name: each for name, each in tensors.items() if name != "2.ffn_gate"}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(CheckpointError, match=r"has no 2.ffn_gate"):
        read_gates(tmp_path / WEIGHTS_FILE, model.config)
    (tmp_path / WEIGHTS_FILE).write_bytes(b"half")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_gates(tmp_path / WEIGHTS_FILE, model.config)
