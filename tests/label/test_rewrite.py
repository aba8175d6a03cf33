"""Labels from labels: every new row names the one that it came from, and a run that was stopped goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet
import pytest
from helpers import shouting
from helpers.label_worlds import SHORT, contents, rows, run, write_film
from helpers.shouting import Shouting

from pseudocap.errors import DataError
from pseudocap.label.rewrite import rewrite
from pseudocap.label.schema import METADATA, identity, read_rows, shard_path, write_labels
from pseudocap.label.shard import LabelSpec
from pseudocap.types import Pseudolabel

SPEC = LabelSpec(framing=SHORT, shard_size=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four films, the last one broken, and `labels` of them: four shards."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "films").mkdir()
    for number in range(3):
        write_film(folder / "films" / f"{number}.mp4", frames=20, seed=number)
    (folder / "films" / "3.mp4").write_bytes(b"no film")
    run(folder / "films", folder / "labels", SPEC)
    return folder


def test_new_rows_name_their_parent_and_run_and_others_stay_as_they_are(world: Path, tmp_path: Path) -> None:
    stats = rewrite(world / "labels", tmp_path / "out", Shouting("xx", "yy"))
    old, new = rows(world / "labels"), rows(tmp_path / "out")
    plan = json.loads((tmp_path / "out" / "plan.json").read_bytes())
    first = json.loads((world / "labels" / "plan.json").read_bytes())
    assert plan["settings"] == {"shout": ["xx", "yy"], "rewrite": first["run"]}
    assert (plan["shards"], plan["root"], plan["earlier"]) == (first["shards"], first["root"], str(world / "labels"))
    expected = [
        made
        for row in old
        for made in (
            [row]
            if row.failed
            else [
                replace(row, captions=(row.caption.upper(),), language=name, run=plan["run"], parent=identity(row))
                for name in ("xx", "yy")
            ]
        )
    ]
    assert new == expected
    assert len({identity(row) for row in old + new}) == len(old) + len(new) - 1, "the failed row is in both"
    assert stats == json.loads((tmp_path / "out" / "stats.json").read_bytes())
    assert {each["run"] for each in stats["runs"]} == {plan["run"], first["run"]}


def test_what_was_stopped_goes_on_to_the_same_bytes_and_asks_nothing_twice(world: Path, tmp_path: Path) -> None:
    rewrite(world / "labels", tmp_path / "whole", Shouting("xx"))

    class Stopping(Shouting):
        def rewrite(self, labels: Sequence[Pseudolabel]) -> Sequence[Sequence[Pseudolabel]]:
            if labels[0].clip.source == "2.mp4":
                raise KeyboardInterrupt
            return super().rewrite(labels)

    with pytest.raises(KeyboardInterrupt):
        rewrite(world / "labels", tmp_path / "out", Stopping("xx"))
    assert sorted(path.name for path in (tmp_path / "out").glob("*.parquet")) == ["000000.parquet", "000001.parquet"]
    done: list[tuple[int, int]] = []
    rewrite(world / "labels", tmp_path / "out", Shouting("xx"), progress=lambda *now: done.append(now))
    assert done == [(1, 2), (2, 2)]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    rewrite(world / "labels", tmp_path / "out", Shouting("xx"), progress=lambda *now: done.append(now))
    assert len(done) == 2


@pytest.mark.slow
def test_killed_at_any_moment_a_rewriting_goes_on_to_the_same_bytes(world: Path, tmp_path: Path) -> None:
    rewrite(world / "labels", tmp_path / "whole", Shouting("xx"))
    path = os.pathsep.join([str(Path(shouting.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, shouting.__file__, str(world / "labels"), str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": path}
    for finished in range(3):
        process = subprocess.Popen(command, env=environment)
        while process.poll() is None and len(list((tmp_path / "out").glob("0*.parquet"))) <= finished:
            time.sleep(0.002)
        assert process.poll() is None, "it was to be killed before its end"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "out" / "stats.json").exists()
    assert subprocess.run(command, env=environment).returncode == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_shards_that_the_earlier_run_gained_are_rewritten_too(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    write_film(films / "a.mp4", frames=20)
    run(films, tmp_path / "labels", SPEC)
    rewrite(tmp_path / "labels", tmp_path / "out", Shouting("xx"))
    before = (tmp_path / "out" / "000000.parquet").read_bytes()
    write_film(films / "b.mp4", frames=20)
    run(films, tmp_path / "labels", SPEC)
    rewrite(tmp_path / "labels", tmp_path / "out", Shouting("xx"))
    assert [row.clip.source for row in rows(tmp_path / "out")] == ["a.mp4"] * 2 + ["b.mp4"] * 2
    assert (tmp_path / "out" / "000000.parquet").read_bytes() == before


def test_what_cannot_be_rewritten_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone holds no labelling run"):
        rewrite(tmp_path / "gone", tmp_path / "out", Shouting("xx"))
    rewrite(world / "labels", tmp_path / "out", Shouting("xx"))
    with pytest.raises(DataError, match=r"holds labels with shout \['xx'\], and this run has \['yy'\]"):
        rewrite(world / "labels", tmp_path / "out", Shouting("yy"))
    part = shutil.copytree(world / "labels", tmp_path / "part")
    (part / "000001.parquet").unlink()
    with pytest.raises(DataError, match="part is not finished: 1 shards are missing"):
        rewrite(part, tmp_path / "other", Shouting("xx"))
    plan = json.loads((world / "labels" / "plan.json").read_bytes())
    plan["shards"].reverse()
    turned = shutil.copytree(world / "labels", tmp_path / "turned")
    (turned / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(DataError, match="has other shards than when its labels were first taken"):
        rewrite(turned, tmp_path / "out", Shouting("xx"))


def test_labels_of_before_there_were_languages_and_parents_are_read_and_rewritten(world: Path, tmp_path: Path) -> None:
    old = shutil.copytree(world / "labels", tmp_path / "labels")
    for path in old.glob("*.parquet"):
        table = pyarrow.parquet.read_table(path).drop_columns(["language", "parent"])
        stored = {**table.schema.metadata, METADATA: json.dumps({"version": 1, "root": str(world / "films")}).encode()}
        pyarrow.parquet.write_table(table.replace_schema_metadata(stored), path)
    assert rows(old) == rows(world / "labels")
    rewrite(old, tmp_path / "out", Shouting("xx"))
    rewrite(world / "labels", tmp_path / "new", Shouting("xx"))
    assert rows(tmp_path / "out") == rows(tmp_path / "new")
    (old / "000001.parquet").unlink()
    run(world / "films", old, SPEC)  # a folder that was begun before goes on
    assert rows(old) == rows(world / "labels")


def test_an_identity_tells_rows_apart_and_does_not_depend_on_what_filters_say(world: Path) -> None:
    row = rows(world / "labels")[0]
    assert identity(replace(row, verdicts=("short",), captions=("x",))) == identity(row)
    clip = replace(row.clip, end=row.clip.end + 1)
    changes: list[Mapping[str, object]] = [{"run": "x"}, {"language": "es"}, {"parent": "x"}, {"clip": clip}]
    assert identity(row) not in {identity(replace(row, **change)) for change in changes}  # type: ignore[arg-type]


def test_languages_and_parents_are_stored(world: Path, tmp_path: Path) -> None:
    row = replace(rows(world / "labels")[0], language="sw", parent="abc")
    write_labels(shard_path(tmp_path, 0), [row], root="")
    assert list(read_rows(shard_path(tmp_path, 0))) == [row]
