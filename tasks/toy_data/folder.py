"""A generated folder that is complete or absent, never half-written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from normlib.checkpoint.saving import replacing_folder

MANIFEST = "toy_data.json"


class FolderError(ValueError):
    """The output folder cannot be used as it is."""


def _sizes(folder: Path) -> dict[str, int]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(files)}


def _read_manifest(folder: Path) -> dict | None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and "parameters" in manifest else None


def _is_up_to_date(folder: Path, parameters: dict) -> bool:
    """Whether the folder holds this very set, whole.

    Raises:
        FolderError: there is something else in its place.
    """
    if not os.path.lexists(folder):
        return False
    manifest = _read_manifest(folder)
    if manifest is None:
        raise FolderError(
            f"{folder} exists and was not made by this command; give a path that does not exist yet"
        )
    if manifest["parameters"] != parameters:
        raise FolderError(
            f"{folder} holds a toy set of other parameters: {manifest['parameters']}, "
            f"wanted {parameters}; give another path, or --force to replace it"
        )
    if manifest.get("files") != _sizes(folder):
        raise FolderError(f"{folder} has been changed since it was made; --force replaces it")
    return True


def publish(
    folder: Path, parameters: dict, generate: Callable[[Path], None], force: bool = False
) -> bool:
    """Generate into a sibling folder and rename it, so that `folder` is whole or absent.

    Args:
        folder: where the set shall be.
        parameters: what determines the content, as plain JSON values.
        generate: writes the set into the empty folder that it is given.
        force: replace a toy set that stands there, whatever its state. Any other folder is
            left alone.

    Returns:
        False where the set was there already, so that nothing was done.

    Raises:
        FolderError: something else is in the place of `folder`.
        OSError: a file cannot be written.
    """
    replace = force and _read_manifest(folder) is not None
    if not replace and _is_up_to_date(folder, parameters):
        return False
    with replacing_folder(folder) as whole:
        generate(whole)
        manifest = {"parameters": parameters, "files": _sizes(whole)}
        (whole / MANIFEST).write_text(json.dumps(manifest, indent=1))
    return True
