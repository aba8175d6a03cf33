"""`make mutants`: what it draws are mistakes that compile, the same for a seed, and a test that fails notices one."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPO = Path(__file__).resolve().parents[1]
SOURCE = b'''\
"""More than 1 line."""
LIMIT: int = 8

def share(a, b, *, rest=0.5):
    if a < b and not rest:
        print("more than 1", a)
        return min(a, b, key=abs) - LIMIT
    note(a)
    raise ValueError(f"{a + 1} is wrong")
'''


@pytest.fixture(scope="module")
def mutants() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutants", REPO / ".ci" / "mutants.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["mutants"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_mutant_is_one_mistake_that_compiles(mutants: ModuleType) -> None:
    found = {each.mistaken.decode() for each in mutants.mutants_of("pseudocap/a.py", SOURCE)}
    changes = {
        **{"= 8": "= 9", "0.5": "1.0", "a < b": "a <= b", " and ": " or ", "not rest": "(rest)", "- LIMIT": "+ LIMIT"},
        **{"min(": "max(", "min(a, b": "min(b, a", ", key=abs": "", "note(a)": "pass"},
        **{"a < b and not rest": "not (a < b and not rest)", "return min(a, b, key=abs) - LIMIT": "return None"},
    }
    assert found == {SOURCE.decode().replace(old, new) for old, new in changes.items()}
    assert all(ast.parse(text) for text in found)


def test_what_is_drawn_of_the_package_is_of_its_seed_and_compiles(mutants: ModuleType) -> None:
    first, again, other = (mutants.draw(["pseudocap/regimes"], 40, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len({str(each) for each in first}) == 40, "one of a line"
    for mutant in first:
        assert ast.parse(mutant.mistaken)
        assert mutant.mistaken != mutant.source == (REPO / mutant.path).read_bytes()
        assert len(mutants.difference(mutant).splitlines()) >= 2


@pytest.mark.slow
def test_a_mutant_is_caught_by_the_test_that_fails_and_survives_where_none_does(
    mutants: ModuleType, tmp_path: Path
) -> None:
    tree, source = tmp_path / "main", b"def double(x):\n    return 2 * x\n"
    for name, text in {
        "pseudocap/__init__.py": b"",
        "pseudocap/a/__init__.py": b"",
        "pseudocap/a/b.py": source,
        "tests/a/test_b.py": b"from pseudocap.a.b import double\ndef test_two(): assert double(1) == 2\n",
        "tests/a/test_c.py": b"def test_nothing(): pass\n",
        "tests/d/test_e.py": b"from pseudocap.a import b\ndef test_none(): assert b.double(0) == 0\n",
        "tests/d/test_f.py": b"def test_never_run(): raise OSError\n",
    }.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(text)
    assert mutants.tests_of(tree, "pseudocap/a/b.py") == ["tests/a/test_b.py", "tests/a/test_c.py", "tests/d/test_e.py"]
    one, divided = (
        mutants.Mutant(path="pseudocap/a/b.py", source=source, start=at, end=at + 1, text=text)
        for text, at in (("3", source.index(b"2")), ("/", source.index(b"*")))
    )
    assert mutants.judge(tree, one, timeout=60) == "tests/a/test_b.py::test_two"
    (tree / "tests" / "a" / "test_b.py").write_text("def test_nothing(): pass\n")
    assert mutants.judge(tree, one, timeout=60) is None
    assert mutants.judge(tree, divided, timeout=60) == "tests/d/test_e.py::test_none"
    assert (tree / "pseudocap" / "a" / "b.py").read_bytes() == source
