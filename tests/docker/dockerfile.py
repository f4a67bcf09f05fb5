"""Reads Dockerfiles: stages, instructions and what they copy. Here-documents are not understood."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

_ARGUMENT = re.compile(r"\$\{(\w+)\}|\$(\w+)")


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name in capitals, its --flags, and the rest as it stands there."""

    name: str
    flags: dict[str, str]
    text: str
    line: int

    def words(self) -> list[str]:
        """The arguments, of the JSON form and of the plain one."""
        if self.text.startswith("["):
            return json.loads(self.text)
        return shlex.split(self.text)

    def is_exec_form(self) -> bool:
        """Whether no shell stands between the runtime and the command."""
        return self.text.startswith("[")

    def assignments(self) -> dict[str, str]:
        """Names and values of an ENV, a LABEL or an ARG."""
        pairs = (word.partition("=") for word in self.words())
        return {name: value for name, _, value in pairs}


@dataclass
class Stage:
    """What lies between one FROM and the next; ``base`` has the defaults of ARG put in."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[Instruction]:
        """The instructions of that name, in their order."""
        return [one for one in self.instructions if one.name == name]

    def last(self, name: str) -> Instruction:
        """The one that holds for the image."""
        found = self.all(name)
        assert found, f"stage {self.name or self.base} has no {name}"
        return found[-1]


@dataclass
class Dockerfile:
    """The ARGs before the first FROM, and the stages."""

    arguments: dict[str, str]
    stages: list[Stage]

    def names(self) -> list[str]:
        """The stages that have a name."""
        return [stage.name for stage in self.stages if stage.name]

    def every(self, name: str) -> list[Instruction]:
        """The instructions of that name in all stages."""
        return [one for stage in self.stages for one in stage.all(name)]


def read(path: Path) -> Dockerfile:
    """Read a Dockerfile.

    Raises:
        ValueError: An instruction cannot be read; names the line.
    """
    return parse(path.read_text(), str(path))


def parse(text: str, where: str = "Dockerfile") -> Dockerfile:
    """Read the text of a Dockerfile."""
    file = Dockerfile({}, [])
    for instruction in _instructions(text, where):
        if instruction.name == "FROM":
            base, *named = instruction.text.split()
            if named and (len(named) != 2 or named[0].upper() != "AS"):
                raise ValueError(f"{where}, line {instruction.line}: FROM {instruction.text}")
            file.stages.append(Stage(_filled(base, file.arguments), named[1] if named else ""))
        elif file.stages:
            file.stages[-1].instructions.append(instruction)
        elif instruction.name == "ARG":
            file.arguments |= instruction.assignments()
        else:
            raise ValueError(f"{where}, line {instruction.line}: {instruction.name} before FROM")
    return file


def _instructions(text: str, where: str) -> list[Instruction]:
    found = []
    pending, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not line.strip():
            continue  # also between the lines of one instruction
        start = start if pending else number
        pending += line.strip()
        if pending.endswith("\\"):
            pending = pending[:-1]
            continue
        found.append(_instruction(pending, start, where))
        pending = ""
    if pending:
        raise ValueError(f"{where}, line {start}: the instruction does not end")
    return found


def _instruction(text: str, line: int, where: str) -> Instruction:
    match = re.fullmatch(r"([A-Za-z]+)\s+(.+)", text)
    if match is None:
        raise ValueError(f"{where}, line {line}: {text}")
    name, rest = match[1].upper(), match[2]
    flags = {}
    while (flag := re.match(r"--([a-z-]+)(?:=(\S+))?\s+", rest)) and name in ("COPY", "ADD", "RUN"):
        flags[flag[1]] = flag[2] or ""
        rest = rest[flag.end() :]
    return Instruction(name, flags, rest, line)


def _filled(text: str, arguments: dict[str, str]) -> str:
    return _ARGUMENT.sub(lambda match: arguments[match[1] or match[2]], text)
