"""checkpoints.yaml is found wherever the package came from, and the house's files say what they should."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from pseudocap.files.sources import SHIPPED

ROOT = Path(__file__).resolve().parents[1]
FIND = "from pseudocap.hub.manifest import find_manifest, list_checkpoints; list_checkpoints(); print(find_manifest())"


def find_manifest_with(path: Path, *, cwd: Path) -> Path:
    """What a fresh interpreter finds whose pseudocap is the one at `path`."""
    code = f"import sys; sys.path.insert(0, {str(path)!r}); {FIND}"
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=cwd, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def test_the_manifest_is_found_in_a_source_tree(tmp_path: Path) -> None:
    assert find_manifest_with(ROOT, cwd=tmp_path) == ROOT / "checkpoints.yaml"


@pytest.mark.slow
def test_the_manifest_the_marker_of_types_the_pages_and_the_weights_are_in_the_wheel(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")
    pages = {"pseudocap/label/audit/page.html", "pseudocap/explain/page.html"}
    weights = {f"pseudocap/zoo/shipped/{path.relative_to(SHIPPED)}" for path in SHIPPED.rglob("*") if path.is_file()}
    carried = {"pseudocap/py.typed", "pseudocap/checkpoints.yaml", *pages, *weights}
    assert carried <= set(names)
    assert not any(name.startswith(("tests/", "docs/", "examples/")) for name in names)
    inside = tmp_path / "installed" / "pseudocap" / "checkpoints.yaml"
    assert find_manifest_with(tmp_path / "installed", cwd=tmp_path) == inside


def test_every_dependency_has_a_lower_bound_and_a_tested_version_and_no_host_is_named() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    constraints = (ROOT / "constraints.txt").read_text()
    assert "://" not in constraints
    assert "index" not in constraints
    pinned = {line.split("==")[0].lower() for line in constraints.splitlines()}
    for requirement in project["dependencies"] + project["optional-dependencies"]["dev"]:
        name, bound = re.fullmatch(r"([\w-]+)(?:\[\w+\])?(>=[\d.]+)", requirement).groups()
        assert bound
        assert name.lower().replace("_", "-") in pinned


def readme_commands() -> list[str]:
    blocks = re.findall(r"```(?:bash|sh)\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    lines = (line.split("#")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line]


def test_the_readmes_make_targets_exist() -> None:
    targets = {line.split()[1] for line in readme_commands() if line.startswith("make ")}
    assert {"demo", "test"} <= targets
    for target in targets:
        dry = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
        assert dry.returncode == 0, dry.stderr


def test_the_readmes_verbs_run(capsys: pytest.CaptureFixture[str]) -> None:
    from pseudocap.cli.main import main

    verbs = [line.split()[1:] for line in readme_commands() if line.startswith("pseudocap ")]
    assert verbs
    for verb, *_ in verbs:
        with pytest.raises(SystemExit) as stopped:
            main([verb, "--help"])
        assert stopped.value.code == 0


@pytest.mark.slow
def test_the_readmes_first_example_is_what_the_command_prints(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pseudocap.cli.main import main
    from pseudocap.zoo.packaged import packaged_media

    for path in (path for paths in packaged_media().values() for path in paths):
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    block = re.search(r"```console\n\$ pseudocap (.*)\n([^`]*)```", (ROOT / "README.md").read_text())
    assert main(block[1].split()) == 0
    assert capsys.readouterr().out == block[2]


def test_the_readmes_python_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def tree_of(page: str) -> list[str]:
    tree = re.search(r"```text\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)[1]
    return [line.split()[0] for line in tree.splitlines() if line.strip()]


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md"])
def test_the_trees_name_real_files(page: str) -> None:
    named = tree_of(page)
    assert len(named) >= 12
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_stage_stands_in_the_tree_of_the_architecture() -> None:
    named = {name.split("/")[1] for name in tree_of("docs/architecture.md")}
    stages = {path.name for path in (ROOT / "pseudocap").iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}
    assert stages - {"__init__.py", "__main__.py", "version.py"} - named == set()
