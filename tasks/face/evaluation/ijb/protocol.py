"""Verification of templates, several images of a person each: IJB-B and IJB-C 1:1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.data_checks import DatasetError
from tasks.face.evaluation.embedding_folder import EmbeddingFolder
from tasks.face.evaluation.verification import OperatingPoint, RocCurve, roc_curve, tar_at_far

from .meta import FaceList, TemplateList, TemplatePairs

FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
_IMAGES = 1 << 14  # at a time, to bound the memory
_PAIRS = 1 << 12


@dataclass(frozen=True)
class Templates:
    """One embedding a template.

    Attributes:
        numbers: The templates', ascending, int64 of shape (templates,).
        embeddings: Of length 1, float32 of shape (templates, D).
    """

    numbers: np.ndarray
    embeddings: np.ndarray


@dataclass(frozen=True)
class IJBResult:
    """What was measured.

    Attributes:
        points: True accepts at each FAR, None where the impostor pairs are too few.
        curve: The ROC.
        images: Number of images.
        templates: Number of templates.
    """

    points: list[OperatingPoint]
    curve: RocCurve
    images: int
    templates: int


def verify_templates(
    folder: EmbeddingFolder,
    faces: FaceList,
    templates: TemplateList,
    pairs: TemplatePairs,
    detector_score: bool = True,
    fars: Sequence[float] = FARS,
    progress: Callable[[int, int], None] | None = None,
) -> IJBResult:
    """The 1:1 protocol of IJB-B (Whitelam et al. 2017) and IJB-C (Maze et al. 2018).

    Args:
        folder: Embeddings of the aligned images.
        faces: The images that are listed, with their detector scores.
        templates: Which of them make up which template.
        pairs: Which templates to compare.
        detector_score: Whether an embedding counts by the score of its detection.
        fars: Rates of false accepts.
        progress: Called with the pairs compared, and all.

    Raises:
        DatasetError: The lists and the embeddings do not fit together.
        VerificationError: There are no genuine or no impostor pairs.
    """
    rows, weights = _rows_and_weights(folder, faces, templates, detector_score)
    pooled = pool(folder.embeddings, rows, templates.templates, templates.media, weights)
    scores = similarities(pooled, pairs.templates, progress)
    genuine, impostor = scores[pairs.same], np.sort(scores[~pairs.same])
    del scores
    return IJBResult(
        tar_at_far(genuine, impostor, fars),
        roc_curve(genuine, impostor),
        len(templates.names),
        len(pooled.numbers),
    )


def pool(
    embeddings: np.ndarray,
    rows: np.ndarray,
    templates: np.ndarray,
    media: np.ndarray,
    weights: np.ndarray | None = None,
) -> Templates:
    """Embeddings of templates from those of images.

    Those of a media (the frames of a video, or one photo) are averaged; the media of a template are
    added, and the sum is divided by its length. Computed in float64.

    Args:
        embeddings: float32 of shape (N, D), possibly mapped from a file.
        rows: int64 of shape (n,): rows of `embeddings`, one an image of a template.
        templates: int64 of shape (n,).
        media: int64 of shape (n,). Numbers count within a template.
        weights: Factors of shape (n,) that embeddings are multiplied by before; they do not change
            what the average is divided by.
    """
    order = np.lexsort((rows, media, templates))
    rows, templates, media = rows[order], templates[order], media[order]
    new_template = np.diff(templates, prepend=templates[:1] - 1) != 0
    new_media = new_template | (np.diff(media, prepend=media[:1] - 1) != 0)
    member = np.cumsum(new_media) - 1
    factors = 1 / np.bincount(member)[member]
    if weights is not None:
        factors = factors * weights[order]
    place = np.cumsum(new_template) - 1
    sums = np.zeros((int(new_template.sum()), embeddings.shape[1]))
    for start in range(0, len(rows), _IMAGES):
        block = slice(start, start + _IMAGES)
        weighted = embeddings[rows[block]] * factors[block, None]
        firsts = np.flatnonzero(np.diff(place[block], prepend=-1))
        sums[place[block][firsts]] += np.add.reduceat(weighted, firsts)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    sums /= np.maximum(lengths, np.finfo(np.float64).tiny)
    return Templates(templates[new_template], sums.astype(np.float32))


def similarities(
    templates: Templates,
    pairs: np.ndarray,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Cosines of pairs of templates, float32 of shape (P,).

    Args:
        templates: The templates.
        pairs: Their numbers, of shape (P, 2).
        progress: Called with the pairs compared, and all.

    Raises:
        DatasetError: A pair names a template that there is not.
    """
    numbers = templates.numbers
    scores = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _PAIRS):
        block = pairs[start : start + _PAIRS]
        places = np.minimum(np.searchsorted(numbers, block), len(numbers) - 1)
        for pair, side in np.argwhere(numbers[places] != block):
            raise DatasetError(
                f"pair {start + pair + 1} (from 1) names template {block[pair, side]}, which no "
                "image belongs to; are the lists of one and the same set?"
            )
        one, other = templates.embeddings[places[:, 0]], templates.embeddings[places[:, 1]]
        np.einsum("pd,pd->p", one, other, out=scores[start : start + _PAIRS])
        if progress is not None:
            progress(min(start + _PAIRS, len(pairs)), len(pairs))
    return scores


def _rows_and_weights(
    folder: EmbeddingFolder, faces: FaceList, templates: TemplateList, detector_score: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Which embedding, and which detector score, every line of the templates' list means."""
    embedded = _places(folder.names, "embeddings", str(folder.path))
    rows = np.array([embedded.get(name, -1) for name in templates.names])
    for line in np.flatnonzero(rows < 0):
        raise DatasetError(
            f"{folder.path} has no embedding of {templates.names[line]}, and "
            f"{int((rows < 0).sum())} of {len(rows)} images of the templates are missing in all; "
            f"its names are such as {folder.names[:1]}"
        )
    if not detector_score:
        return rows, None
    listed = _places(faces.names, "lines", "the list of landmarks and scores")
    places = np.array([listed.get(name, -1) for name in templates.names])
    for line in np.flatnonzero(places < 0):
        raise DatasetError(
            f"the list of landmarks and scores has no line of {templates.names[line]}, and "
            f"{int((places < 0).sum())} images of the templates are missing in all"
        )
    return rows, faces.scores[places].astype(np.float64)


def _places(names: list[str], what: str, where: str) -> dict[str, int]:
    places = {name: place for place, name in enumerate(names)}
    if len(places) < len(names):
        double = next(name for place, name in enumerate(names) if places[name] != place)
        raise DatasetError(f"{where} has several {what} of {double}; names have to differ")
    return places
