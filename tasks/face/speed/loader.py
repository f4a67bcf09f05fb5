"""How fast training images arrive, against a bare loop that decodes them."""

from __future__ import annotations

import multiprocessing
import statistics
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from torch.utils.data import DataLoader

from normlib.analysis.stopwatch import ratio
from tasks.face.datasets import FaceRecordDataset
from tasks.face.datasets.recordio import RecordWriter
from tasks.face.transforms import face_collate
from tasks.loader_timing import seconds_of, seed_worker

_PIPELINE = [{"type": "DecodeFace"}, {"type": "RandomFlipFace"}, {"type": "PackFace"}]


@dataclass(frozen=True)
class LoaderSpeed:
    """Images per second, medians over rounds, and the median ratio within a round.

    Attributes:
        bare: Of loops that read the records and decode them with OpenCV.
        loader: Of the training loader with as many processes.
        ratio: `loader / bare`.
    """

    bare: float
    loader: float
    ratio: float


def measure(
    rec: str, workers: int = 0, batch: int = 128, images: int = 6400, rounds: int = 5
) -> LoaderSpeed:
    """Time the loader and the bare loop over the same records in the same random order.

    Args:
        rec: A file of records.
        workers: Processes that decode; 0 for this one.
        batch: Images of a batch.
        images: Images of a round, drawn with repetition where the file has fewer.
        rounds: Both take turns in each.
    """
    cv2.setNumThreads(0)
    dataset = FaceRecordDataset(rec, pipeline=_PIPELINE)
    random = np.random.default_rng(0)
    times: dict[str, list[float]] = {"bare": [], "loader": []}
    for number in range(1 + rounds):
        order = random.integers(len(dataset), size=images)
        for name, run in (("bare", _bare_loops), ("loader", _loader)):
            seconds = run(dataset, order, workers, batch)
            if number:
                times[name].append(seconds)
    return LoaderSpeed(
        images / statistics.median(times["bare"]),
        images / statistics.median(times["loader"]),
        ratio(times["bare"], times["loader"]),
    )


def write_records(folder: Path, images: int = 2000) -> str:
    """Write a file of records to time with: smooth noise at 112 pixels as JPEG, some 6 kB each.

    Returns:
        Its path.
    """
    random = np.random.default_rng(0)
    rec = folder / "train.rec"
    with RecordWriter(rec, folder / "train.idx") as writer:
        for key in range(images):
            coarse = random.integers(256, size=(14, 14, 3), dtype=np.uint8)
            image = cv2.resize(coarse, (112, 112), interpolation=cv2.INTER_CUBIC)
            image = cv2.add(image, random.integers(24, size=image.shape, dtype=np.uint8))
            content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
            writer.write(key, key % 10, content.tobytes())
    return str(rec)


def _bare_loop(dataset: FaceRecordDataset, order: np.ndarray) -> None:
    for index in order:
        cv2.imdecode(dataset.encoded(index), cv2.IMREAD_COLOR)


def _bare_loops(dataset: FaceRecordDataset, order: np.ndarray, workers: int, batch: int) -> float:
    if workers == 0:
        return seconds_of(lambda: _bare_loop(dataset, order))
    context = multiprocessing.get_context("fork")
    # All are ready before the clock starts.
    gate = context.Barrier(workers + 1)
    parts = np.array_split(order, workers)
    loops = [context.Process(target=_behind, args=(gate, dataset, part)) for part in parts]
    for loop in loops:
        loop.start()

    def run() -> None:
        for loop in loops:
            loop.join()

    gate.wait()
    return seconds_of(run)


def _behind(gate: object, dataset: FaceRecordDataset, order: np.ndarray) -> None:
    gate.wait()
    _bare_loop(dataset, order)


def _loader(dataset: FaceRecordDataset, order: np.ndarray, workers: int, batch: int) -> float:
    loader = DataLoader(
        dataset,
        batch_size=batch,
        sampler=order.tolist(),
        num_workers=workers,
        collate_fn=face_collate,
        worker_init_fn=seed_worker,
        persistent_workers=workers > 0,
        multiprocessing_context="fork" if workers else None,
    )
    if workers:
        # The workers start in a first epoch, and stay for the one that is timed.
        for _ in loader:
            pass

    def run() -> None:
        for _ in loader:
            pass

    return seconds_of(run)
