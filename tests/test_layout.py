"""Tests stand where the code stands that they test: pseudocap/a/b.py has tests/a/test_b.py or test_b_aspect.py."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
TESTS = REPO / "tests"
# What stands outside the package has its tests in a folder of the same name; these are of the repository itself.
OUTSIDE = ("docs", "examples")
OF_THE_REPOSITORY = ("test_imports.py", "test_layout.py", "test_mutants.py", "test_packaging.py")


def module_of(path: Path, *, package: Path = REPO / "pseudocap", tests: Path = TESTS) -> Path | None:
    """The module that a test's name begins with, the longest of several; None where there is none."""
    folder, words = package / path.relative_to(tests).parent, path.stem.removeprefix("test_").split("_")
    names = ("_".join(words[:count]) for count in range(len(words), 0, -1))
    return next((folder / f"{name}.py" for name in names if (folder / f"{name}.py").is_file()), None)


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_a_test_stands_where_its_module_stands_and_holds_a_test(path: Path) -> None:
    relative = path.relative_to(TESTS)
    if relative.parts[0] == "helpers" or path.name == "conftest.py":
        return
    assert path.name.startswith("test_"), f"{relative} is no test; helpers go to tests/helpers"
    functions = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef))
    assert any(function.name.startswith("test_") for function in functions), f"{relative} holds no test"
    if relative.parts[0] in OUTSIDE:
        assert (REPO / relative.parts[0]).is_dir()
    elif str(relative) not in OF_THE_REPOSITORY:
        assert module_of(path), f"{relative} is named after no module of pseudocap/{relative.parent}"


def test_a_test_of_a_module_that_has_moved_is_noticed(tmp_path: Path) -> None:
    package, tests = tmp_path / "pseudocap", tmp_path / "tests"
    (package / "a").mkdir(parents=True)
    for name in ("b.py", "b_c.py"):
        (package / "a" / name).touch()

    def found(name: str) -> Path | None:
        return module_of(tests / name, package=package, tests=tests)

    assert found("a/test_b.py") == found("a/test_b_aspect.py") == package / "a" / "b.py"
    assert found("a/test_b_c.py") == found("a/test_b_c_aspect.py") == package / "a" / "b_c.py"
    assert found("test_b.py") is None
    assert found("a/test_d.py") is None
