"""How fast training clips arrive, against a bare loop that decodes them."""

from __future__ import annotations

import copy
import multiprocessing
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from torch.utils.data import DataLoader

from normlib.analysis.stopwatch import ratio
from tasks.data_checks import DatasetError
from tasks.loader_timing import seconds_of, seed_worker
from tasks.video.datasets import VideoClassDataset

from .bare_decoding import decode_clip


@dataclass(frozen=True)
class LoaderSpeed:
    """Clips per second, medians over rounds, and ratios within a round.

    Attributes:
        bare: Of loops that decode with PyAV, and do nothing else.
        loader: Of the training loader with as many processes.
        ratio: Median of `loader / bare`.
        least: Smallest of `loader / bare`.
    """

    bare: float
    loader: float
    ratio: float
    least: float


@dataclass(frozen=True)
class _Clip:
    index: int
    path: str
    seconds: np.ndarray


def measure(
    dataset: VideoClassDataset,
    collate: Callable[[list[Any]], Any],
    workers: int = 0,
    batch: int = 8,
    videos: int = 64,
    rounds: int = 5,
) -> LoaderSpeed:
    """Time the loader and the bare loop over the same videos in the same random order.

    The bare loop decodes clips that the steps of the pipeline have drawn before.

    Args:
        dataset: A data set of video files with the pipeline of a training.
        collate: Makes batches.
        workers: Processes that decode; 0 for this one.
        batch: Videos of a batch.
        videos: Videos of a round, drawn with repetition where there are fewer.
        rounds: Both take turns in each, after one that is not timed.

    Raises:
        DatasetError: Too few videos can be read, or the pipeline draws no clips of files.
    """
    cv2.setNumThreads(0)
    clips = _draw_clips(dataset, videos)
    times: dict[str, list[float]] = {"bare": [], "loader": []}
    for number in range(1 + rounds):
        turns = [
            ("bare", lambda: _bare_loops(clips, workers)),
            ("loader", lambda: _loader(dataset, collate, clips, workers, batch)),
        ]
        for name, run in turns[:: 1 if number % 2 else -1]:
            seconds = run()
            if number:
                times[name].append(seconds)
    within = [bare / loader for bare, loader in zip(*times.values(), strict=True)]
    return LoaderSpeed(
        len(clips) / statistics.median(times["bare"]),
        len(clips) / statistics.median(times["loader"]),
        ratio(times["bare"], times["loader"]),
        min(within),
    )


def _draw_clips(dataset: VideoClassDataset, count: int) -> list[_Clip]:
    random = np.random.default_rng(0)
    order = np.concatenate(
        [random.permutation(len(dataset)) for _ in range(-(-count // len(dataset)))]
    )
    drawing = copy.copy(dataset)
    drawing.pipeline = [partial(_drawn, dataset.pipeline)]
    return [drawing[index] for index in order[:count].tolist()]


def _drawn(steps: Iterable[Callable[[dict], dict]], results: dict[str, Any]) -> _Clip:
    try:
        for step in steps:
            results = step(results)
            if "frame_indices" in results:
                break
        reader = results.get("video")
        if "frame_indices" not in results or reader is None or reader.times is None:
            raise DatasetError(
                f"{results['video_path']}: the pipeline draws no clip of a video file, with "
                "which a bare loop could be timed"
            )
        wanted = np.unique(results["frame_indices"])
        return _Clip(results["index"], results["video_path"], reader.times[wanted])
    finally:
        if results.get("video") is not None:
            results["video"].close()


def _bare_loop(clips: list[_Clip]) -> None:
    reformatter = VideoReformatter()
    for clip in clips:
        decode_clip(clip.path, clip.seconds, reformatter)


def _bare_loops(clips: list[_Clip], workers: int) -> float:
    if workers == 0:
        return seconds_of(lambda: _bare_loop(clips))
    context = multiprocessing.get_context("fork")
    # All are ready before the clock starts.
    gate = context.Barrier(workers + 1)
    loops = [
        context.Process(target=_behind, args=(gate, clips[worker::workers]))
        for worker in range(workers)
    ]
    for loop in loops:
        loop.start()

    def run() -> None:
        for loop in loops:
            loop.join()

    gate.wait()
    return seconds_of(run)


def _behind(gate: Any, clips: list[_Clip]) -> None:
    gate.wait()
    _bare_loop(clips)


def _loader(
    dataset: VideoClassDataset,
    collate: Callable[[list[Any]], Any],
    clips: list[_Clip],
    workers: int,
    batch: int,
) -> float:
    order = [clip.index for clip in clips]
    sampler = order[:workers]
    loader = DataLoader(
        dataset,
        batch_size=batch,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=seed_worker,
        persistent_workers=workers > 0,
        multiprocessing_context="fork" if workers else None,
    )

    def run() -> None:
        for _ in loader:
            pass

    # The workers start in a short first epoch, and stay for the one that is timed.
    run()
    sampler[:] = order
    return seconds_of(run)
