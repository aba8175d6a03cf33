"""The arrows of the design: which stage may import which, read from the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "pseudocap"
BASE = {"errors", "version", "types", "memory", "decoding", "files", "stages", "workers"}
ABOVE_BASE = {
    *("video", "audio", "metrics", "model", "hub", "explain", "label", "mine", "data", "captioner", "caption_files"),
    *("app", "search", "regimes", "evaluate", "toyworld", "bench", "zoo"),
}
# What a stage imports beside itself and the base; a dotted name is the only way into that stage.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "version": set(),
    "types": {"errors", "memory"},
    "memory": {"errors"},
    "decoding": {"errors", "types"},
    "files": {"errors", "types"},
    "stages": {"errors", "files"},
    "workers": {"errors", "files", "types"},
    "video": BASE,
    "audio": BASE,
    "metrics": BASE,
    "model": BASE,
    "hub": BASE | {"model"},
    "explain": BASE | {"video", "model"},
    "label": BASE | {"video", "audio", "metrics", "model.precision"},
    "mine": BASE | {"video", "label.schema", "model.encoders"},
    "data": BASE | {"video", "audio", "label.schema", "model.encoders"},
    "captioner": BASE | {"video", "audio", "model", "hub", "explain"},
    "caption_files": BASE | {"video", "captioner"},
    "app": BASE | {"captioner", "video", "data"},
    "search": BASE | {"captioner", "data", "model.retrieval"},
    "regimes": BASE | {"model", "data", "metrics", "captioner"},
    "evaluate": BASE | {"captioner", "search", "metrics", "data"},
    "toyworld": BASE | {"video", "audio", "data.corpora"},
    "zoo": BASE | ABOVE_BASE,
    "bench": BASE | ABOVE_BASE,
    "cli": BASE | ABOVE_BASE,
    "__init__": BASE | ABOVE_BASE,  # the package's face, which nothing imports
    "__main__": {"cli"},
}


def imported_modules(path: Path) -> set[str]:
    """Every module of the package that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the whole path"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("pseudocap.")}


def violations(path: Path, stage: str) -> list[str]:
    wrong = []
    for module in imported_modules(path):
        target = module.removeprefix("pseudocap.")
        inside = target.split(".")[0]
        allowed = {stage, *ALLOWED[stage]}
        if inside in allowed or any(f"{target}.".startswith(f"{way}.") for way in allowed if "." in way):
            continue
        wrong.append(f"{path} imports {module}")
    return wrong


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_stage_imports_only_what_the_design_allows(path: Path) -> None:
    stage = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert stage in ALLOWED, f"{stage} is no stage of the design"
    assert not violations(path, stage)


def test_the_check_sees_a_forbidden_arrow_even_inside_a_function(tmp_path: Path) -> None:
    offender = tmp_path / "offender.py"
    offender.write_text("def late():\n    from pseudocap.cli import main\n    import pseudocap.video.decode\n")
    assert len(violations(offender, "model")) == 2
    assert len(violations(offender, "data")) == 1
    offender.write_text(
        "from pseudocap.model.encoders.timesformer import TimeSformer\nfrom pseudocap.model.decoders import opt\n"
    )
    assert violations(offender, "data") == [f"{offender} imports pseudocap.model.decoders.opt"]
