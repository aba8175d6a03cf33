"""The Dockerfile can be read, and what it runs is there. It is not built: there is no Docker daemon here."""

from __future__ import annotations

import argparse
import json
import re
import tomllib
from pathlib import Path

from pseudocap.cli import serve

ROOT = Path(__file__).resolve().parents[2]
KNOWN = {"FROM", "ARG", "RUN", "COPY", "USER", "ENV", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "docs" / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [(word, rest) for line in lines if line.strip() for word, _, rest in [line.partition(" ")]]


def test_the_dockerfile_runs_the_service_of_the_wheel() -> None:
    found = instructions()
    assert {word for word, _ in found} <= KNOWN
    assert found[0][0] == "FROM"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (extra,) = re.findall(r"\.whl\)\[(\w+)\]", " ".join(rest for _, rest in found))
    assert extra in project["optional-dependencies"]
    values = dict(found)
    program, verb, *options = json.loads(values["ENTRYPOINT"]) + json.loads(values["CMD"])
    assert (program in project["scripts"], verb) == (True, "serve")
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    args = parser.parse_args(options)
    assert (args.host, str(args.port)) == ("0.0.0.0", values["EXPOSE"])
    compile(json.loads(values["HEALTHCHECK"].partition("CMD ")[2])[2], "HEALTHCHECK", "exec")
