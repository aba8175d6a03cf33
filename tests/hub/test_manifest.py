from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pseudocap import list_checkpoints
from pseudocap.errors import CheckpointError
from pseudocap.hub.fetch import Fetched
from pseudocap.hub.manifest import Row, all_rows, find_manifest, read_published

ROW = {
    "name": "toy-mixed",
    "regime": "mixed",
    "decoder": {"source": "d"},
    "encoder": {"source": "e"},
    "weights": {"source": "w", "sha256": "0" * 64},
    "preprocess": {"size": 64},
    "config": "c",
    "scores": [],
    "license": "Apache-2.0",
    "made_by": {"command": "pseudocap train mixed", "seed": 0},
}


def write(folder: Path, document: object) -> Path:
    (folder / "rows.yaml").write_text(yaml.safe_dump(document))
    return folder / "rows.yaml"


def test_the_shipped_manifest_keeps_its_own_schema() -> None:
    assert find_manifest().name == "checkpoints.yaml"
    assert isinstance(list_checkpoints(), list)


def test_a_whole_row_is_read(tmp_path: Path) -> None:
    assert list_checkpoints(write(tmp_path, {"checkpoints": [ROW]})) == [ROW]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"regme": "x"}, r"row 0 \(toy-mixed\): unknown field 'regme' \(did you mean 'regime'\?\)"),
        ({"regime": "mixt"}, "regime 'mixt' is none of asr, image-only"),
        ({"scores": {}}, "scores must be a list"),
        ({"weights": {"source": "w"}}, "must carry the sha256"),
        ({"weights": {"source": "w", "sha256": "0" * 63}}, "must be 64 hexadecimal digits"),
        ({"weights": {"source": "w", "sha256": "0" * 65}}, "must be 64 hexadecimal digits"),
        ({"weights": {"source": "w", "sha256": "g" * 64}}, "must be 64 hexadecimal digits"),
        ({"encoder": {}}, "encoder must name its source"),
        ({"license": None}, "license must be a str"),
    ],
)
def test_a_wrong_row_is_refused_by_field(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        list_checkpoints(write(tmp_path, {"checkpoints": [{**ROW, **change}]}))


def test_a_row_of_a_retriever_has_a_text_model_in_place_of_a_decoder(tmp_path: Path) -> None:
    row = {name: value for name, value in ROW.items() if name != "decoder"}
    row |= {"name": "toy-search", "kind": "retriever", "regime": "retrieval", "text": {"source": "t"}}
    assert list_checkpoints(write(tmp_path, {"checkpoints": [row]})) == [row]
    found = all_rows(write(tmp_path, {"checkpoints": [ROW | {"name": "mine"}, row]}))
    assert (found["toy-search"].retriever, found["mine"].retriever) == (True, False)
    for change, message in (
        ({"kind": "captioner"}, "kind is 'captioner' and may be retriever or valor"),
        ({"regime": "mixed"}, "regime 'mixed' is none of retrieval"),
        ({"text": {}}, "text must name its source"),
        ({"decoder": {"source": "d"}}, "unknown field 'decoder'"),
    ):
        with pytest.raises(CheckpointError, match=message):
            list_checkpoints(write(tmp_path, {"checkpoints": [{**row, **change}]}))
    with pytest.raises(CheckpointError, match="regime 'retrieval' is none of asr"):
        list_checkpoints(write(tmp_path, {"checkpoints": [{**ROW, "regime": "retrieval"}]}))


def test_only_a_row_that_everybody_has_gives_a_checkpoint_its_public_name(tmp_path: Path) -> None:
    options = {"folder": tmp_path, "source": "hf://team/mine", "revision": "v1"}
    own, shipped = (Row(values=ROW, registry="rows.yaml", shipped=shipped) for shipped in (False, True))
    assert Fetched(**options, row=own).public_name == Fetched(**options).public_name == "team/mine@v1"
    assert Fetched(**options, row=shipped).public_name == "toy-mixed"
    assert Fetched(folder=tmp_path, source=str(tmp_path), row=own).public_name is None


EXTERNAL = {
    "name": "blip",
    "regime": "external",
    "weights": {"source": "hf://team/blip", "revision": "main"},
    "scores": [{"dataset": "coco", "metrics": {"CIDEr": 136.7}, "cited": "a paper, table 7"}],
    "license": "MIT",
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder": {"source": "d"}}, r"row 0 \(blip\): unknown field 'decoder'"),
        ({"weights": {}}, "weights must name its source"),
        ({"scores": [{"dataset": "coco", "metrics": {"CIDEr": 1.0}}]}, "and cited: the paper and table"),
        ({"scores": [{"dataset": "coco", "cited": "a paper"}]}, "needs dataset, metrics, and cited"),
        ({"sees": "films"}, "sees must be pictures or video, not 'films'"),
        ({"weights": {"source": "hf://team/blip", "gigabytes": "2 GB"}}, "weights.gigabytes must be a number above 0"),
    ],
)
def test_a_row_of_another_projects_captioner_cites_its_figures(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    assert list_checkpoints(write(tmp_path, {"checkpoints": [EXTERNAL]})) == [EXTERNAL]
    with pytest.raises(CheckpointError, match=message):
        list_checkpoints(write(tmp_path, {"checkpoints": [{**EXTERNAL, **change}]}))


def test_what_a_captioner_takes_is_said_of_those_of_other_projects_alone(tmp_path: Path) -> None:
    row = {**EXTERNAL, "sees": "video", "weights": {"source": "hf://team/blip", "gigabytes": 1.5}}
    assert list_checkpoints(write(tmp_path, {"checkpoints": [row]})) == [row]
    with pytest.raises(CheckpointError, match="unknown field 'sees'"):
        list_checkpoints(write(tmp_path, {"checkpoints": [{**ROW, "sees": "video"}]}))


def test_published_figures_of_what_cannot_be_loaded_are_cited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {entry["name"] for entry in read_published()}.isdisjoint(row["name"] for row in list_checkpoints())
    lacking = {"name": "GIT2", "scores": [{"dataset": "msvd", "metrics": {"CIDEr": 1.0}}]}
    rows = write(tmp_path, {"checkpoints": [], "published": [lacking]})
    monkeypatch.setattr("pseudocap.hub.manifest.find_manifest", lambda: rows)
    with pytest.raises(CheckpointError, match=r"published 0 \(GIT2\): .*cited: the paper and table"):
        read_published()


def test_missing_fields_twice_used_names_and_other_documents_are_refused(tmp_path: Path) -> None:
    short = {key: value for key, value in ROW.items() if key != "config"}
    with pytest.raises(CheckpointError, match="the field 'config' is missing"):
        list_checkpoints(write(tmp_path, {"checkpoints": [short]}))
    with pytest.raises(CheckpointError, match="the names toy-mixed stand there more than once"):
        list_checkpoints(write(tmp_path, {"checkpoints": [ROW, ROW]}))
    with pytest.raises(CheckpointError, match="one list named 'checkpoints'"):
        list_checkpoints(write(tmp_path, ["toy"]))
    with pytest.raises(CheckpointError, match="there is no such manifest"):
        list_checkpoints(tmp_path / "absent.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(CheckpointError, match="not readable as YAML"):
        list_checkpoints(tmp_path / "broken.yaml")
