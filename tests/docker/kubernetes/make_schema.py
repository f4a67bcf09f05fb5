"""Write pytorchjob.schema.json from the models of two packages, which are read and never imported:

    pip download --no-deps -d /tmp/wheels kubeflow-training==1.9.3 kubernetes==31.0.0
    python tests/docker/kubernetes/make_schema.py /tmp/wheels/*.whl

The training operator 1.9 is built with the API of Kubernetes 1.31, hence that version. Both
packages are published under Apache-2.0.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_name("pytorchjob.schema.json")
ROOTS = ("KubeflowOrgV1PyTorchJob", "V1PersistentVolumeClaim")
SIMPLE = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "datetime": {"type": "string"},
    "Quantity": {"type": ["string", "number"]},
    "object": {},
}
# Of a class of the generator, the check in the setter of an attribute that has to be there.
REQUIRED = re.compile(r"client_side_validation and (\w+) is None")


class Models:
    """The classes in the folders ``models`` of wheels."""

    def __init__(self, wheels: list[Path]) -> None:
        self._sources: dict[str, str] = {}
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                for name in archive.namelist():
                    if re.search(r"(training|client)/models/[a-z]\w*\.py$", name):
                        text = archive.read(name).decode()
                        if found := re.search(r"^class (\w+)\(object\):", text, re.MULTILINE):
                            self._sources[found[1]] = text

    def definition(self, name: str) -> tuple[dict[str, Any], set[str]]:
        """The schema of a class, and the classes that it mentions."""
        if name not in self._sources:
            raise SystemExit(f"no class {name} in the packages: are both wheels given?")
        source = self._sources[name]
        types, keys = (_literal(source, table) for table in ("openapi_types", "attribute_map"))
        mentioned: set[str] = set()
        properties = {keys[name]: _schema(types[name], mentioned) for name in sorted(types)}
        schema: dict[str, Any] = {"type": "object", "properties": properties}
        schema["additionalProperties"] = False
        required = sorted({keys[attribute] for attribute in REQUIRED.findall(source)})
        return schema | ({"required": required} if required else {}), mentioned


def _literal(source: str, name: str) -> dict[str, str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            return ast.literal_eval(node.value)
    raise SystemExit(f"no {name} in {source[:200]}")


def _schema(kind: str, mentioned: set[str]) -> dict[str, Any]:
    if found := re.fullmatch(r"list\[(.*)\]", kind):
        return {"type": "array", "items": _schema(found[1], mentioned)}
    if found := re.fullmatch(r"dict\(str, (.*)\)", kind):
        return {"type": "object", "additionalProperties": _schema(found[1], mentioned)}
    if kind in SIMPLE:
        return SIMPLE[kind]
    # Kubeflow's package has a name of its own for the class of another group.
    name = re.sub(r"^K8sIoApi(Autoscaling)", "", kind)
    mentioned.add(name)
    return {"$ref": f"#/$defs/{name}"}


def main() -> None:
    wheels = [Path(argument) for argument in sys.argv[1:]]
    models = Models(wheels)
    definitions: dict[str, Any] = {}
    waiting = set(ROOTS)
    while waiting:
        name = waiting.pop()
        definitions[name], mentioned = models.definition(name)
        waiting |= mentioned - definitions.keys()
    sources = ", ".join(sorted("-".join(wheel.name.split("-")[:2]) for wheel in wheels))
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": f"Made by make_schema.py from the models of {sources} (PyPI, Apache-2.0).",
        "oneOf": [
            {
                "properties": {"apiVersion": {"const": version}, "kind": {"const": kind}},
                "required": ["apiVersion", "kind", "metadata", "spec"],
                "$ref": f"#/$defs/{root}",
            }
            for version, kind, root in (
                ("kubeflow.org/v1", "PyTorchJob", ROOTS[0]),
                ("v1", "PersistentVolumeClaim", ROOTS[1]),
            )
        ],
    }
    # A definition a line, so that a change of version can be read.
    lines = [f"{json.dumps(name)}: {json.dumps(definitions[name])}" for name in sorted(definitions)]
    text = json.dumps(head)[:-1] + ', "$defs": {\n' + ",\n".join(lines) + "\n}}\n"
    json.loads(text)
    TARGET.write_text(text)


if __name__ == "__main__":
    main()
