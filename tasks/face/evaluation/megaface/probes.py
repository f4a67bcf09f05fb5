"""Probes of MegaFace, and what takes the place of noisy ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tasks.data_checks import DatasetError

from .lists import ProbeList
from .names import find_rows
from .rows import UnitRows

_JITTER = 1e-3


@dataclass(frozen=True)
class Probes:
    """Images of people of whom there are at least two.

    Attributes:
        embeddings: float32 of shape (P, D), unit vectors.
        people: int64 of shape (P,), places in `person_names`.
        person_names: What the people are called.
        names: Paths of the images.
        source: What they come from, for messages.
    """

    embeddings: np.ndarray
    people: np.ndarray
    person_names: list[str]
    names: list[str]
    source: str

    @classmethod
    def of(cls, features: UnitRows, listed: ProbeList | None = None) -> Probes:
        """Choose the probes.

        Args:
            features: Their embeddings, and maybe others.
            listed: Which to take, and who is on them. Without it all are taken, and the folder that
                an image is in says who it is.

        Raises:
            DatasetError: There is none, a listed image is missing, an image is in no folder, an
                embedding is not normalised, or a person has one image only.
        """
        if listed is None:
            source, names = features.source, list(features.names)
            rows = np.arange(len(names))
            persons = [_folder(name, source) for name in names]
        else:
            source, persons = str(listed.path), listed.people
            rows = find_rows(listed.names, source, features.names, features.source)
            names = [features.names[row] for row in rows]
        if not names:
            raise DatasetError(f"{source} has no probe")
        person_names, people, counts = np.unique(persons, return_inverse=True, return_counts=True)
        for place in np.flatnonzero(counts == 1):
            raise DatasetError(
                f"{source}: {person_names[place]} has one image only, as have "
                f"{np.count_nonzero(counts == 1) - 1} others of {len(counts)}; a probe is looked "
                "for among distractors by another image of the same person, so give at least two"
            )
        return cls(features.take(rows), people, person_names.tolist(), names, source)

    def replace_noisy(self, noisy: np.ndarray, seed: int = 0) -> Probes:
        """Probes whose noisy embeddings are replaced as InsightFace's `remove_noises.py` does.

        In its place comes the normalised sum of the embeddings of the person's other images that
        are not noisy, plus uniform noise within 0.001 in every dimension: a pair with such an image
        is matched as well as any can be.

        Args:
            noisy: Rows, int64.
            seed: Of the noise.

        Raises:
            DatasetError: All images of a person are noisy.
        """
        clean = np.ones(len(self.people), bool)
        clean[noisy] = False
        sums = np.zeros((len(self.person_names), self.embeddings.shape[1]))
        np.add.at(sums, self.people[clean], self.embeddings[clean])
        present = np.bincount(self.people[clean], minlength=len(self.person_names))
        for person in np.flatnonzero(present == 0):
            raise DatasetError(
                f"{self.source}: all images of {self.person_names[person]} are listed as noisy, so "
                "that no embedding can take their place"
            )
        jitter = np.random.default_rng(seed).uniform(-_JITTER, _JITTER, (len(noisy), sums.shape[1]))
        changed = sums[self.people[noisy]] + jitter
        changed /= np.linalg.norm(changed, axis=1, keepdims=True)
        embeddings = self.embeddings.copy()
        embeddings[noisy] = changed
        return replace(self, embeddings=embeddings)


def _folder(name: str, source: str) -> str:
    folder, slash, _ = name.rpartition("/")
    if not slash:
        raise DatasetError(
            f"{source}: {name} is in no folder that would say who it is; give a list of probes"
        )
    return folder


def check_dimensions(probes: Probes, distractors: UnitRows) -> None:
    """Refuse sets that cannot be compared.

    Raises:
        DatasetError: Their embeddings have different lengths.
    """
    mine, others = probes.embeddings.shape[1], distractors.embeddings.shape[1]
    if mine != others:
        raise DatasetError(
            f"{probes.source} has embeddings of {mine} numbers, {distractors.source} of {others}; "
            "they have to come from the same model"
        )
