"""The arrows of the design: which stage may import which, read from the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "pseudocap"
EVERYONE = {"types", "errors", "places", "whole"}
ANYTHING_BUT_CLI = {
    "app",
    "video",
    "metrics",
    "model",
    "hub",
    "explain",
    "label",
    "data",
    "captioner",
    "asked",
    "captioning",
    "regimes",
    "toyworld",
    "bench",
    "zoo",
}
ALLOWED = {
    "types": {"errors"},
    "errors": set(),
    "whole": set(),
    "places": {"errors"},
    "video": set(),
    "metrics": set(),
    "model": set(),
    "hub": {"model"},
    "label": {"video", "metrics", "model"},
    "data": {"video", "label", "model"},
    "explain": {"video", "model"},
    "captioner": {"asked", "video", "model", "hub", "explain"},
    "asked": set(),
    "captioning": {"asked", "captioner", "video", "model"},
    "app": {"captioner", "video", "data"},
    "regimes": {"model", "data", "metrics", "captioner"},
    "toyworld": {"video", "data"},
    "bench": ANYTHING_BUT_CLI,
    "zoo": ANYTHING_BUT_CLI,
    "cli": ANYTHING_BUT_CLI,
    "__init__": {"captioner", "hub", "metrics", "model", "video", "data", "regimes"},
    "__main__": {"cli"},
}
# A stage that may enter another one only through a single module.
NARROW = {
    ("data", "label"): "pseudocap.label.schema",
    ("data", "model"): "pseudocap.model.timesformer",
    ("label", "model"): "pseudocap.model.precision",  # one int8 layer for BLIP and for our own networks
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
        target = module.split(".")[1]
        if target in EVERYONE | {stage, "__version__"}:
            continue
        narrow = NARROW.get((stage, target))
        if target not in ALLOWED[stage] or (narrow and not module.startswith(narrow)):
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
    offender.write_text("from pseudocap.model.timesformer import TimeSformer\nfrom pseudocap.model import opt\n")
    assert violations(offender, "data") == [f"{offender} imports pseudocap.model.opt"]
