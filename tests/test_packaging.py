"""checkpoints.yaml is found wherever the package came from, and the house's files say what they should."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
from helpers.films import write_film

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


@pytest.mark.slow
def test_wheels_of_the_source_tree_and_of_the_sdist_caption_a_picture_outside_the_repository(tmp_path: Path) -> None:
    """A virtual environment sees this one's libraries, and of Pseudocap what was installed into it alone."""
    from pseudocap.zoo.packaged import packaged_media

    build = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (sdist,) = (tmp_path / "dist").glob("*.tar.gz")
    shutil.unpack_archive(sdist, tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    again = [*build[:-1], str(tmp_path / "again"), "-t", "wheel"]
    subprocess.run(again, cwd=source, check=True, capture_output=True)
    (wheel,), (second,) = (tmp_path / "dist").glob("*.whl"), (tmp_path / "again").glob("*.whl")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(second) as other:
        assert {each.filename: each.CRC for each in one.infolist() if not each.filename.endswith("RECORD")} == {
            each.filename: each.CRC for each in other.infolist() if not each.filename.endswith("RECORD")
        }
        assert {"pseudocap/checkpoints.yaml", "pseudocap/configs/mixed-paper.yaml"} <= set(one.namelist())
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    (packages,) = (tmp_path / "venv" / "lib").glob("python3*/site-packages")
    with zipfile.ZipFile(second) as archive:
        archive.extractall(packages)
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    picture = next(path for paths in packaged_media().values() for path in paths if path.suffix == ".jpg")
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = "import pseudocap, sys; from pseudocap.cli.main import main; print(pseudocap.__file__); sys.exit(main())"
    words = [str(python), "-c", code, "caption", str(picture), "--device", "cpu"]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    where, caption = done.stdout.splitlines()
    assert Path(where).is_relative_to(packages)
    assert len(caption.split()) > 3


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


def commands_of(page: str) -> list[str]:
    blocks = re.findall(r"```(?:bash|sh)\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    lines = (line.split("#")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line]


def test_the_readmes_make_targets_exist() -> None:
    targets = {line.split()[1] for line in commands_of("README.md") if line.startswith("make ")}
    assert {"demo", "test"} <= targets
    for target in targets:
        dry = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
        assert dry.returncode == 0, dry.stderr


@pytest.mark.parametrize("page", ["README.md", "docs/commands.md"])
def test_the_verbs_of_a_page_run(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    from pseudocap.cli.main import main

    verbs = {line.split()[1] for line in commands_of(page) if line.startswith("pseudocap ")}
    assert verbs
    for verb in verbs:
        with pytest.raises(SystemExit) as stopped:
            main([verb, "--help"])
        assert stopped.value.code == 0


def test_the_page_of_commands_has_every_verb() -> None:
    from pseudocap.cli.main import VERBS

    named = {line.split()[1] for line in commands_of("docs/commands.md") if line.startswith("pseudocap ")}
    assert set(VERBS) - named == set()


def test_the_readme_is_short_and_its_picture_small() -> None:
    page = (ROOT / "README.md").read_text()
    (picture,) = re.findall(r"!\[.+\]\((docs/images/.*)\)", page)
    assert len(page.splitlines()) <= 150
    assert (ROOT / picture).stat().st_size < 250_000


def test_the_readmes_scores_are_those_of_the_page_of_real_captioners() -> None:
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `real-")]
    measured = (ROOT / "docs" / "real.md").read_text().splitlines()
    assert len(rows) >= 4
    assert [row for row in rows if row not in measured] == []


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


@pytest.mark.slow
def test_the_readmes_search_finds_what_the_command_finds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pseudocap.cli.main import main
    from pseudocap.zoo.packaged import packaged_media

    (tmp_path / "media").mkdir()
    for path in (path for package in ("matplotlib", "gradio") for path in packaged_media()[package]):
        shutil.copy(path, tmp_path / "media")
    monkeypatch.chdir(tmp_path)
    assert main(["index", "media/", "--clip-seconds", "4", "--out", "index/", "--workers", "0"]) == 0
    capsys.readouterr()
    block = re.search(r"```console\n\$ pseudocap (search .*)\n([^`]*)```", (ROOT / "README.md").read_text())
    assert main(shlex.split(block[1])) == 0
    printed = capsys.readouterr().out
    header, *rows = (line.split() for line in printed.splitlines())
    written_header, *written = (line.split() for line in block[2].splitlines())
    assert header == written_header
    assert [row[0] for row in rows] == [row[0] for row in written]
    # the third decimal may differ between processors
    assert [float(row[-1]) for row in rows] == pytest.approx([float(row[-1]) for row in written], abs=2e-3)


def python_of(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


def test_the_readmes_python_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "film.mp4", frames=125)  # five seconds: two clips
    (block,) = python_of("README.md")
    exec(compile(block, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_the_first_example_of_the_network_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(python_of("docs/network.md")[0], "network.md", "exec"), {})
    assert (tmp_path / "checkpoint" / "config.json").is_file()


def tree_of(page: str) -> list[str]:
    tree = re.search(r"```text\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)[1]
    return [line.split()[0] for line in tree.splitlines() if line.strip()]


def test_the_tree_names_real_files() -> None:
    named = tree_of("docs/architecture.md")
    assert {"checkpoints.yaml", "examples/", "docs/", "tests/"} < set(named)
    assert len(named) >= 40
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_stage_stands_in_the_tree_of_the_architecture() -> None:
    named = {name.split("/")[1] for name in tree_of("docs/architecture.md") if name.startswith("pseudocap/")}
    stages = {path.name for path in (ROOT / "pseudocap").iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}
    assert stages - {"__init__.py", "__main__.py", "version.py"} - named == set()
