"""Tiny real backbones, small films and a tiny teacher, written once per run in the libraries' own formats."""

from __future__ import annotations

import copy
import functools
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import torch
import transformers
from helpers.hub_server import Hub, hub_settings
from helpers.label_worlds import write_film
from helpers.loud_weights import with_loud_weights
from huggingface_hub import constants, hf_api
from huggingface_hub.utils import close_session

from pseudocap import PseudoCap
from pseudocap.decoding import LabelDecoding
from pseudocap.label.teachers.image_text import ImageTextTeacher
from pseudocap.zoo.tiny import write_blip, write_opt, write_timesformer

transformers.utils.logging.disable_progress_bar()
# Tiny tensors: a second thread only waits for the first, and on a busy machine it waits long.
torch.set_num_threads(1)

# The same few examples in every run; HYPOTHESIS_PROFILE=search looks for new ones.
FEW = {"phases": [hypothesis.Phase.explicit, hypothesis.Phase.generate], "derandomize": True, "max_examples": 25}
hypothesis.settings.register_profile("few", **FEW, deadline=None, database=None)
hypothesis.settings.register_profile("search", max_examples=2000, deadline=None, database=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "few"))

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the shared data is not beside this checkout")
    return SHARED / "data"


@pytest.fixture(scope="session")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`opt` (pre-norm), `opt-350m` (post-norm, projected in and out, as OPT-350M is) and `timesformer`."""
    folder = tmp_path_factory.mktemp("backbones")
    write_opt(folder / "opt", num_hidden_layers=4)
    write_opt(folder / "opt-350m", num_hidden_layers=4, do_layer_norm_before=False, word_embed_proj_dim=8)
    write_timesformer(folder / "timesformer")
    return folder


@pytest.fixture(scope="session")
def build_from(backbones: Path) -> Callable[..., PseudoCap]:
    """Build from folders that stay as they are; each setting is read from disk once, and a test gets its own copy."""

    @functools.cache
    def built(decoder: Path, **options: object) -> PseudoCap:
        with torch.random.fork_rng(devices=[]):  # whether or not it was built before, a test draws the same
            torch.manual_seed(0)
            return build_model(decoder, backbones, options)

    return lambda decoder, **options: copy.deepcopy(built(decoder, **options))


def build_model(decoder: Path, backbones: Path, options: dict[str, object]) -> PseudoCap:
    model = PseudoCap.from_backbones(decoder=decoder, encoder=backbones / "timesformer", device="cpu", **options)
    return with_loud_weights(model)


@pytest.fixture
def build(backbones: Path, build_from: Callable[..., PseudoCap]) -> Callable[..., PseudoCap]:
    """Return a captioner around a shared decoder (`build("opt-350m")`) or one of the test's own (`build(folder)`)."""

    def build_opt(opt: str | Path = "opt", **options: object) -> PseudoCap:
        if isinstance(opt, Path):
            return build_model(opt, backbones, options)
        return build_from(backbones / opt, **options)

    return build_opt


@pytest.fixture
def model(build: Callable[..., PseudoCap]) -> PseudoCap:
    return build()


@pytest.fixture
def frames() -> torch.Tensor:
    return torch.randn(3, 4, 3, 16, 16, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="session")
def smoke_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zoo at a size that teaches nothing, built once for all slow tests that stand on one."""
    from pseudocap.cli.main import main

    root = tmp_path_factory.mktemp("zoo")
    assert main(["zoo", "build", "--smoke", "--out", str(root)]) == 0
    return root


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four films of 3 to 11 clips of 2 s, one of them in a folder of its own, and a file that is no film."""
    folder = tmp_path_factory.mktemp("films")
    (folder / "more").mkdir()
    for seed, (name, frames) in enumerate((("a.mp4", 110), ("b.mkv", 36), ("c.avi", 40), ("more/d.mp4", 63))):
        write_film(folder / name, frames=frames, seed=seed)
    (folder / "broken.mp4").write_text("no film")
    return folder


@pytest.fixture(scope="session")
def film_tar(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tars") / "00000.tar"
    with tarfile.open(path, "w") as archive:
        for key, name in (("000000000", "a.mp4"), ("000000001", "more/d.mp4")):
            archive.add(films / name, f"{key}.mp4")
    return path


@pytest.fixture(scope="session")
def blip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "blip"
    write_blip(folder)
    return folder


@pytest.fixture(scope="session")
def blip(blip_folder: Path) -> ImageTextTeacher:
    return ImageTextTeacher(str(blip_folder), decoding=LabelDecoding(max_new_tokens=12))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine. The client is the real one; only where the hub is and where its cache lies is set, as
    HF_ENDPOINT and HF_HOME would be, which the client reads at import."""
    with Hub() as server:
        for name, value in hub_settings(server, tmp_path / "hf").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        # Both libraries keep a client whose endpoint is that of its first use.
        monkeypatch.setattr(hf_api.api, "endpoint", server.endpoint)
        monkeypatch.setattr("transformers.utils.hub._hf_api", None)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
        yield server
        close_session()


@pytest.fixture(scope="session")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Whisper, whose words are noise that depends on the sound."""
    from helpers.whispers import write_whisper

    return write_whisper(tmp_path_factory.mktemp("whisper") / "whisper")
