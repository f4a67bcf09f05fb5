"""What the builder sees of the repository: the rules of .dockerignore."""

from __future__ import annotations

import re
from pathlib import Path


class Ignore:
    """The rules of a .dockerignore: the last that fits a path, or a folder of it, decides."""

    def __init__(self, text: str):
        self.rules = []
        for line in text.splitlines():
            pattern = line.strip()
            if not pattern or pattern.startswith("#"):
                continue
            readmitted = pattern.startswith("!")
            self.rules.append((_expression(pattern.lstrip("!").strip("/")), not readmitted))

    def shuts_out(self, path: str) -> bool:
        """Whether the file or folder, relative to the context, stays outside."""
        parts = path.split("/")
        heads = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        out = False
        for expression, ignored in self.rules:
            if any(expression.fullmatch(head) for head in heads):
                out = ignored
        return out


def _expression(pattern: str) -> re.Pattern[str]:
    """Go's filepath.Match with ``**`` for any number of folders."""
    special = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]*\])", pattern)
    return re.compile(
        "".join(
            special.get(part, part if part.startswith("[") else re.escape(part)) for part in parts
        )
    )


def context(root: Path, files: list[str]) -> list[str]:
    """Those of the files, relative to the root, that are sent to the builder."""
    ignore = Ignore((root / ".dockerignore").read_text())
    return [name for name in files if not ignore.shuts_out(name)]
