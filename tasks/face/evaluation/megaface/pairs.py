"""Genuine pairs: two images of one person, and how similar they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class GenuinePairs:
    """The similarities of all pairs of images of one person.

    Attributes:
        thresholds: Of each probe to the others of its person, float32 of shape (P, T), ascending;
            inf where a person has fewer pairs.
        scores: Of each unordered pair, float32 of shape (pairs,), on the CPU.
    """

    thresholds: Tensor
    scores: np.ndarray

    @classmethod
    def of(cls, probes: Tensor, people: np.ndarray) -> GenuinePairs:
        """Compare the images of each person.

        Args:
            probes: float32 of shape (P, D), unit vectors.
            people: int64 of shape (P,), who is on them.
        """
        _, inverse, counts = np.unique(people, return_inverse=True, return_counts=True)
        order = np.argsort(inverse, kind="stable")
        longest = max(1, int(counts.max(initial=1)) - 1)
        thresholds = probes.new_full((len(probes), longest), float("inf"))
        scores = []
        for rows in np.split(order, np.cumsum(counts)[:-1]) if len(counts) else ():
            chosen = torch.from_numpy(rows).to(probes.device)
            one = probes[chosen]
            similarity = one @ one.T
            above = torch.triu_indices(len(rows), len(rows), offset=1, device=probes.device)
            scores.append(similarity[above[0], above[1]].cpu().numpy())
            similarity.fill_diagonal_(float("inf"))
            thresholds[chosen, : len(rows) - 1] = similarity.sort(1).values[:, :-1]
        return cls(thresholds, np.concatenate(scores) if scores else np.empty(0, np.float32))

    def ranks(self, counts: np.ndarray) -> np.ndarray:
        """Ranks of the ordered pairs, in no order, int64.

        Args:
            counts: int64 of shape (P, T), distractors at least as similar as each of `thresholds`.
        """
        return counts[np.isfinite(self.thresholds.cpu().numpy())] + 1
