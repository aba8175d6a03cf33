"""Find real pictures and video that packages carry which are installed anyway; nothing of a package is imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

# All photographs and films of these packages, no drawings; not chosen by their captions.
MEDIA = {
    "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
    "gradio": (
        *("media_assets/images/cheetah1.jpg", "media_assets/images/lion.jpg", "media_assets/images/tower.jpg"),
        "media_assets/videos/world.mp4",
    ),
    "skimage": ("data/astronaut.png", "data/chelsea.png", "data/coffee.png", "data/rocket.jpg"),
}
OPTIONAL = ("gradio", "skimage")  # which need not be installed


def packaged_media() -> dict[str, list[Path]]:
    """Return the pictures and videos that are here, by package."""
    found = {}
    for package, names in MEDIA.items():
        spec = find_spec(package)
        folders = [] if spec is None else [Path(each) for each in spec.submodule_search_locations or ()]
        found[package] = [folder / name for folder in folders for name in names if (folder / name).is_file()]
    return found
