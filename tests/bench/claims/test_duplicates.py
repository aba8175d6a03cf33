"""Near-duplicates: planted ones are found whatever was done to the file, films that only resemble are not."""

from __future__ import annotations

import io
import json
import tarfile
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pseudocap.bench.claims.duplicates import find_duplicates
from pseudocap.cli.main import main
from pseudocap.errors import ConfigError, DataError
from pseudocap.toyworld.corpora import film_at
from pseudocap.toyworld.render import render_film
from pseudocap.video.writer import write_video


def frames_of(place: int) -> list[np.ndarray]:
    return list(render_film(film_at("msrvtt", "test", place, seed=0), 64))[::4]


def write(path: Path, frames: list[np.ndarray], *, size: int = 64, crf: int = 18, brighter: float = 1.0) -> Path:
    pictures = (np.asarray(Image.fromarray(frame).resize((size, size))) for frame in frames)
    brightened = (np.clip(picture * brighter, 0, 255).astype(np.uint8) for picture in pictures)
    write_video(path, brightened, rate=8, options={"crf": str(crf)})
    return path


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six test films, and what was learned from: six others, and three copies in disguise."""
    root = tmp_path_factory.mktemp("films")
    for folder in ("test", "seen"):
        (root / folder).mkdir()
    for place in range(6):
        write(root / "test" / f"test{place}.mp4", frames_of(place))
        write(root / "seen" / f"other{place}.mp4", frames_of(place + 20))
    write(root / "seen" / "smaller.mp4", frames_of(1), size=48, crf=32)
    write(root / "seen" / "brighter.mkv", frames_of(3), brighter=1.15)
    write(root / "seen" / "larger.mp4", frames_of(4), size=96)
    return root


def test_copies_in_disguise_are_found_and_nothing_else(films: Path) -> None:
    found = find_duplicates(sorted((films / "test").iterdir()), [films / "seen"])
    assert {(pair.test, pair.seen) for pair in found.duplicates} == {
        ("test1.mp4", "smaller.mp4"),
        ("test3.mp4", "brighter.mkv"),
        ("test4.mp4", "larger.mp4"),
    }
    assert found.compared == 9
    assert [pair.alike for pair in found.nearest] == sorted((pair.alike for pair in found.nearest), reverse=True)


def test_a_still_of_a_film_and_the_film_in_a_tar_are_found(films: Path, tmp_path: Path) -> None:
    """Where hardly anything moves a still is a near-duplicate; a clip in a tar is one whatever moves."""
    still = [frames_of(2)[0]] * 8
    write(tmp_path / "quiet.mp4", still)
    stills, clips = tmp_path / "stills", tmp_path / "clips"
    buffer = io.BytesIO()
    Image.fromarray(still[0]).save(buffer, format="JPEG", quality=80)
    for folder, name, media in (
        (stills, "000000000.jpg", buffer.getvalue()),
        (clips, "000000000.mp4", (films / "test" / "test0.mp4").read_bytes()),
    ):
        folder.mkdir()
        with tarfile.open(folder / "00000.tar", "w") as tar:
            for member, content in ((name, media), ("000000000.txt", b"a caption")):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    found = find_duplicates([tmp_path / "quiet.mp4", films / "test" / "test0.mp4"], [stills, clips])
    assert {(pair.test, pair.seen) for pair in found.duplicates} == {
        ("quiet.mp4", "00000.tar, sample 0"),
        ("test0.mp4", "00000.tar, sample 0"),
    }


def test_what_cannot_be_read_is_named_and_the_rest_compared(films: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    found = find_duplicates([films / "test" / "test0.mp4", tmp_path / "broken.mp4"], [films / "test"])
    assert len(found.nearest) == 1
    assert found.nearest[0].alike > 0.999
    assert "broken.mp4" in found.unreadable[0]
    with pytest.raises(DataError, match="none of the 1 test videos can be read"):
        find_duplicates([tmp_path / "broken.mp4"], [films / "test"])
    with pytest.raises(ConfigError, match="above 0 and at most 1"):
        find_duplicates([films / "test" / "test0.mp4"], [films / "test"], threshold=1.5)


def test_frames_of_one_colour_are_like_nothing(tmp_path: Path) -> None:
    for name in ("black", "grey"):
        write(tmp_path / f"{name}.mp4", [np.full((64, 64, 3), 0 if name == "black" else 128, np.uint8)] * 8)
    found = find_duplicates([tmp_path / "black.mp4"], [tmp_path / "grey.mp4", tmp_path / "black.mp4"])
    assert found.duplicates == ()


def test_the_verb_tells_pairs_and_json(films: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "duplicates", str(films / "test"), str(films / "seen")]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["duplicates"]) == 3
    assert main([*words[:3], "nowhere"]) == 2
    assert "nowhere: there is no such file or folder" in capsys.readouterr().err


def test_a_real_clip_is_found_again_smaller_and_compressed(shared_data: Path, tmp_path: Path) -> None:
    with av.open(str(shared_data / "clips" / "test_video.mp4")) as container:
        frames = [
            frame.reformat(width=160, height=160).to_ndarray(format="rgb24")
            for frame in islice(container.decode(video=0), 60)
        ]
    whole = write(tmp_path / "whole.mp4", frames, size=160, crf=18)
    copy = write(tmp_path / "copy.mp4", frames, size=112, crf=34)
    other = write(tmp_path / "other.mp4", frames_of(0), size=112)
    found = find_duplicates([whole], [copy, other])
    assert [pair.seen for pair in found.duplicates] == ["copy.mp4"]
