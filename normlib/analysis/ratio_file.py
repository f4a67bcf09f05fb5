"""The file of recorded ratios: one line of JSON, then records of one size.

The line says which layers there are, see :class:`normlib.analysis.ratio_record.RecordedLayer`. A
record is the number of iterations done, int64, and the ratios in the order of
:func:`normlib.analysis.ratio_record.from_flat`, float32, all little-endian. Records are appended,
so that a process that is killed leaves at most the last one incomplete.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlib.analysis.ratio_record import (
    FILE_NAME,
    RatioRecord,
    RatioRecordError,
    RecordedLayer,
    flat_size,
    from_flat,
)
from normlib.checkpoint.saving import replacing
from normlib.functional import check_normalizers

FORMAT = 1
_KEY = "normlib_ratios"
_BEGINNING = f'{{"{_KEY}": '.encode()
_LONGEST_HEADER = 2**24


def read_ratios(path: str | Path) -> RatioRecord:
    """Read what a run has recorded.

    Args:
        path: The file, or the work directory that it lies in.

    Returns:
        The record; a last record that was not written whole is left out.

    Raises:
        RatioRecordError: The file is missing, cut short before its first record ends, from a newer
            version, or none of ours.
    """
    path = Path(path)
    if path.is_dir():
        path /= FILE_NAME
    if not path.is_file():
        raise RatioRecordError(
            f"{path} does not exist; a training of a model with switchable norms writes it into "
            "its work directory"
        )
    record = _read(path)
    if not len(record.iterations):
        raise RatioRecordError(f"{path} holds no ratios: it ends before its first record does")
    return record


class RatioWriter:
    """Appends ratios to a file, from an iteration on.

    Records of later iterations, which a resumed run does again, and a last one that was not written
    whole are dropped. A file that is no beginning of this record, since it is of other layers, of
    another training or cannot be read, is renamed to ``ratios-N.bin``.

    Args:
        path: The file.
        layers: What is recorded.
        max_iters: Iterations that are planned.
        start: Iterations that were done when this training began or was resumed.

    Attributes:
        set_aside: Where an earlier file is now, and why; None where there is none.

    Raises:
        OSError: The disk refuses.
    """

    def __init__(
        self, path: Path, layers: Sequence[RecordedLayer], max_iters: int, start: int
    ) -> None:
        self.path = path
        self.set_aside: tuple[Path, str] | None = None
        self._type = _record_type(layers)
        kept = self._kept(layers, start)
        self._last = int(kept["iteration"][-1]) if len(kept) else -1
        with replacing(path) as scratch:
            scratch.write_bytes(_header(layers, max_iters) + kept.tobytes())

    def append(self, iteration: int, flat: NDArray[np.float32]) -> None:
        """Write the ratios at an iteration, unless they are in the file.

        Args:
            iteration: Iterations done.
            flat: Shape (:func:`normlib.analysis.ratio_record.flat_size`,).

        Raises:
            OSError: The disk refuses.
        """
        if iteration <= self._last:
            return
        record = np.zeros(1, self._type)
        record["iteration"], record["ratios"] = iteration, flat
        with self.path.open("ab") as file:
            file.write(record.tobytes())
        self._last = iteration

    def _kept(self, layers: Sequence[RecordedLayer], start: int) -> NDArray[Any]:
        """The records of an earlier process that this one goes on from."""
        none = np.zeros(0, self._type)
        if not self.path.exists():
            return none
        try:
            record = _read(self.path)
        except RatioRecordError as error:
            self._put_aside(str(error))
            return none
        if _identities(record.layers) != _identities(layers):
            self._put_aside("it holds the ratios of other layers")
            return none
        if start == 0 and len(record.iterations):
            self._put_aside("it is the record of an earlier training, which is not resumed")
            return none
        _, content = _split(self.path)
        records = np.frombuffer(content, self._type, len(record.iterations))
        return records[records["iteration"] <= start]

    def _put_aside(self, why: str) -> None:
        number = 1
        while os.path.lexists(place := self.path.with_stem(f"{self.path.stem}-{number}")):
            number += 1
        self.path.rename(place)
        self.set_aside = place, why


def _read(path: Path) -> RatioRecord:
    """What a file holds, be it no moment at all."""
    header, content = _split(path)
    layers, max_iters = _parse(path, header)
    kind = _record_type(layers)
    records = np.frombuffer(content, kind, len(content) // kind.itemsize)
    iterations = records["iteration"].astype(np.int64)
    if np.any(np.diff(iterations) <= 0):
        raise RatioRecordError(f"{path} is damaged: its iterations do not ascend")
    flat = records["ratios"].astype(np.float32)
    return from_flat(layers, iterations, flat, max_iters=max_iters, source=str(path))


def _split(path: Path) -> tuple[bytes, bytes]:
    """The first line of a file, and what follows."""
    try:
        with path.open("rb") as file:
            header = file.readline(_LONGEST_HEADER)
            if not _BEGINNING.startswith(header[: len(_BEGINNING)]) or header == b"\n":
                raise RatioRecordError(f"{path} is no record of ratios")
            if not header.endswith(b"\n"):
                raise RatioRecordError(
                    f"{path} is cut short within its first line ({len(header)} bytes); it holds no "
                    "ratios"
                )
            return header, file.read()
    except OSError as error:
        raise RatioRecordError(f"{path} cannot be read: {error.strerror}") from error


def _header(layers: Sequence[RecordedLayer], max_iters: int) -> bytes:
    content = {_KEY: FORMAT, "max_iters": max_iters, "layers": [asdict(layer) for layer in layers]}
    return json.dumps(content).encode() + b"\n"


def _parse(path: Path, header: bytes) -> tuple[list[RecordedLayer], int]:
    try:
        content = json.loads(header)
        version = content[_KEY]
        if isinstance(version, int) and version > FORMAT:
            raise RatioRecordError(
                f"{path} is of format {version}, from a newer version of normlib; this one reads "
                f"format {FORMAT}"
            )
        layers = [_layer(entry) for entry in content["layers"]]
        max_iters = int(content["max_iters"])
    except RatioRecordError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RatioRecordError(
            f"{path} is damaged: its first line is not understood ({type(error).__name__}: {error})"
        ) from error
    if version != FORMAT or not layers:
        raise RatioRecordError(
            f"{path} is damaged: format {version!r} with {len(layers)} layers; format {FORMAT} "
            "has at least one"
        )
    return layers, max_iters


def _layer(entry: dict[str, Any]) -> RecordedLayer:
    layer = RecordedLayer(**entry | {"normalizers": tuple(entry["normalizers"])})
    check_normalizers(layer.normalizers)
    texts = layer.name, layer.part, layer.kind
    numbers = layer.channels, layer.receptive_field, layer.stride
    if not all(isinstance(text, str) and text.isprintable() for text in texts):
        raise TypeError(f"one of {texts} is no printable text")
    if not all(number is None or isinstance(number, int) for number in numbers):
        raise TypeError(f"layer {layer.name}: one of {numbers} is no integer")
    return layer


def _record_type(layers: Sequence[RecordedLayer]) -> np.dtype[Any]:
    return np.dtype([("iteration", "<i8"), ("ratios", "<f4", (flat_size(layers),))])


def _identities(layers: Sequence[RecordedLayer]) -> list[RecordedLayer]:
    return [replace(layer, receptive_field=None, stride=None) for layer in layers]
