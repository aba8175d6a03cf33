"""The arrows of the design: which stage may import which, read from the source."""

from __future__ import annotations

import ast
import functools
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "pseudocap"
BASE = {
    *("errors", "version", "types", "memory", "decoding", "questions", "languages"),
    *("files", "rows", "stages", "tolerance", "workers"),
}
ABOVE_BASE = {
    *(
        "video",
        "audio",
        "heard_clips",
        "metrics",
        "model",
        "hub",
        "explain",
        "label",
        "mine",
        "data",
        "captioner",
        "caption_files",
    ),
    *(
        "external",
        "external_retrieval",
        "retriever",
        "file_retriever",
        "hearing_retriever",
        "valor",
        "app",
        "serve",
        "browse",
        "search",
        "regimes",
        "evaluate",
        "toyworld",
        "bench",
        "zoo",
        "learn",
    ),
}
# What a stage imports beside itself and the base; a dotted name is the only way into that stage.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "version": set(),
    "former_names": set(),
    "types": {"errors", "memory"},
    "memory": {"errors"},
    "decoding": {"errors", "memory", "types"},
    "questions": {"errors"},
    "languages": {"errors"},
    "files": {"errors", "types"},
    "rows": {"errors", "files", "types"},
    "stages": {"errors", "files", "types"},
    "tolerance": {"errors"},
    "workers": {"errors", "files", "types"},
    "video": BASE,
    "audio": BASE,
    "metrics": BASE,
    "model": BASE,
    "hub": BASE | {"model", "regimes.table"},
    "explain": BASE | {"video", "audio", "model"},
    "label": BASE | {"video", "audio", "metrics", "model.precision"},
    "mine": BASE
    | {"video", "model.encoders", "label.on_ray", "label.pages"}
    | {f"label.{name}" for name in ("schema", "sources", "framing", "engines", "work", "run_folder", "stats")},
    "data": BASE | {"video", "audio", "label.schema", "model.encoders"},
    "heard_clips": BASE | {"video", "audio"},
    "captioner": BASE | {"video", "audio", "heard_clips", "model", "hub", "explain"},
    "caption_files": BASE | {"video", "captioner"},
    "external": BASE | {"captioner", "hub", "label", "model", "valor", "video"},
    "external_retrieval": BASE
    | {"file_retriever", "captioner", "external", "hub", "model", "retriever", "valor", "video"},
    "file_retriever": BASE | {"video", "audio"},
    "hearing_retriever": BASE | {"file_retriever", "video", "audio", "heard_clips", "model", "hub"},
    "retriever": BASE | {"hearing_retriever", "video", "audio", "heard_clips", "model", "hub"},
    "valor": BASE | {"captioner", "hearing_retriever", "video", "audio", "heard_clips", "model", "hub"},
    "browse": BASE | {"label", "data"},
    "app": BASE | {"captioner", "external", "video", "data", "search"},
    "serve": BASE | {"captioner", "caption_files", "video", "audio", "search"},
    "search": BASE
    | {"file_retriever", "retriever", "external_retrieval", "video", "audio", "data", "label.schema", "label.pages"},
    "regimes": BASE | {"model", "data", "metrics", "captioner", "retriever", "valor"},
    "evaluate": BASE | {"captioner", "file_retriever", "retriever", "search", "metrics", "data"},
    "toyworld": BASE | {"video", "audio", "data.corpora"},
    "zoo": BASE | ABOVE_BASE,
    "learn": BASE | ABOVE_BASE,
    "bench": BASE | ABOVE_BASE,
    "cli": BASE | ABOVE_BASE,
    "__init__": BASE | ABOVE_BASE | {"former_names"},  # the package's face, which nothing imports
    "__main__": {"cli"},
}


def imported_names(path: Path) -> frozenset[str]:
    """Every module, and every name of one, that a file imports, wherever in the file."""
    return names_in(path, path.read_text(encoding="utf-8"))


@functools.cache  # each law asks the whole package
def names_in(path: Path, source: str) -> frozenset[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the whole path"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def imported_modules(path: Path) -> set[str]:
    """Of the package: dotted names that begin with a module's."""
    return {name for name in imported_names(path) if name.startswith("pseudocap.")}


def modules_of(package: Path) -> dict[str, Path]:
    """Every module by its dotted name; a package's is that of its __init__.py."""
    paths = {path: path.relative_to(package.parent).with_suffix("") for path in sorted(package.rglob("*.py"))}
    return {".".join(relative.parts).removesuffix(".__init__"): path for path, relative in paths.items()}


def import_graph(package: Path) -> dict[str, set[str]]:
    """Which module imports which, in functions and for type checkers too; a name of a module counts as the module."""
    modules = modules_of(package)
    graph = {}
    for module, path in modules.items():
        names = imported_names(path)
        found = {name if name in modules else name.rpartition(".")[0] for name in names}
        graph[module] = (found & modules.keys()) - {module}
    return graph


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


def circle(graph: dict[str, set[str]]) -> list[str]:
    """One circle of imports, from a module back to itself; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_files_import_each_other_directly_or_in_a_circle() -> None:
    assert circle(import_graph(PACKAGE)) == []


def test_no_module_imports_the_face_of_the_package() -> None:
    """What users import from `pseudocap` is put together of the modules, so no module can need it."""
    graph = import_graph(PACKAGE)
    assert [module for module, imported in graph.items() if "pseudocap" in imported] == []


def test_real_corpora_are_measured_without_the_toy_world() -> None:
    """From the files of the benchmark on MSR-VTT and MSVD, by any import, no module of the toy world is reached."""
    graph = import_graph(PACKAGE)
    reached, waiting = set(), ["pseudocap.bench.claims.real", "pseudocap.bench.claims.results"]
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += graph[module]
    assert "pseudocap.evaluate.captioner" in reached
    assert [module for module in sorted(reached) if module.split(".")[1:2] in (["zoo"], ["toyworld"])] == []


def test_the_checks_see_a_circle_of_two_and_an_import_of_the_face(tmp_path: Path) -> None:
    package = tmp_path / "pseudocap"
    (package / "a").mkdir(parents=True)
    (package / "__init__.py").write_text("from pseudocap.a.b import B\n")
    (package / "a" / "__init__.py").touch()
    (package / "a" / "b.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pseudocap.a import c\nclass B: ...\n"
    )
    (package / "a" / "c.py").write_text("def late():\n    from pseudocap.a.b import B\n    from pseudocap import B\n")
    graph = import_graph(package)
    assert graph["pseudocap.a.c"] == {"pseudocap", "pseudocap.a.b"}
    graph["pseudocap.a.c"].remove("pseudocap")
    assert set(circle(graph)) == {"pseudocap.a.b", "pseudocap.a.c"}
    graph["pseudocap.a.c"] = {"pseudocap.a"}
    assert circle(graph) == []
    graph["pseudocap.a"] = {"pseudocap"}
    assert set(circle(graph)) == {"pseudocap", "pseudocap.a.b", "pseudocap.a.c", "pseudocap.a"}


def test_the_check_sees_a_forbidden_arrow_even_inside_a_function(tmp_path: Path) -> None:
    offender = tmp_path / "offender.py"
    offender.write_text("def late():\n    from pseudocap.cli import main\n    import pseudocap.video.decode\n")
    assert len(violations(offender, "model")) == 2
    assert len(violations(offender, "data")) == 1
    offender.write_text(
        "from pseudocap.model.encoders.timesformer import TimeSformer\nfrom pseudocap.model.decoders import opt\n"
    )
    assert violations(offender, "data") == [f"{offender} imports pseudocap.model.decoders.opt"]


def public_classes(package: Path) -> Counter[str]:
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in package.rglob("*.py"))
    return Counter(node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef))


def test_every_public_class_has_a_name_of_its_own(tmp_path: Path) -> None:
    def shared(package: Path) -> list[str]:
        return [name for name, count in public_classes(package).items() if count > 1 and not name.startswith("_")]

    assert shared(PACKAGE) == []
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text("class Recipe: ...\nclass _Private: ...\n")
    assert shared(tmp_path) == ["Recipe"]


# Each of these is used in one place, which has an interface for all others.
MACHINES = {"fsspec": "files/remote.py", "fcntl": "files/lock.py", "concurrent.futures": "workers.py"}
MACHINES |= {"multiprocessing": "workers.py"}


@pytest.mark.parametrize("library", MACHINES)
def test_each_machine_exists_once(library: str) -> None:
    users = [
        str(path.relative_to(PACKAGE))
        for path in sorted(PACKAGE.rglob("*.py"))
        if any(f"{name}.".startswith(f"{library}.") for name in imported_names(path))
    ]
    assert users == [MACHINES[library]]
