"""Writes the result tables of the READMEs from tasks/*/metafile.yml and tasks/overview.yml."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tasks import results
from tasks.overview import updated_root_readme

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Returns 0 if every README agrees with its metafile or was made to, else 1; 2 for an error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "metafiles",
        nargs="*",
        type=Path,
        help="metafiles to read (default: all, and tasks/overview.yml)",
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 if a table is out of date"
    )
    arguments = parser.parse_args()

    try:
        overview = {}
        if not arguments.metafiles:
            readme = ROOT / "README.md"
            overview[readme] = updated_root_readme(ROOT / "tasks" / "overview.yml", readme)
        changed = results.update_readmes(
            arguments.metafiles or sorted(ROOT.glob("tasks/*/metafile.yml")),
            write=not arguments.check,
            others=overview,
        )
    except results.MetafileError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    verdict = "out of date; run tools/update_tables.py" if arguments.check else "written"
    for readme in changed:
        print(f"{readme}: {verdict}")
    return 1 if changed and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
