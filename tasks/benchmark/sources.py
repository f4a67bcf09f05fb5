"""Models of a plan that give others the weights of their backbones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from .initial_weights import WEIGHTS_OF
from .plan import Entry, Plan, Source
from .run import Run


class Sources:
    """Which entry of a plan comes after which, and which run starts from which.

    Args:
        plan: The plan.
        note: Takes what is wrong.

    Attributes:
        unknown: Entries whose runs are not all known, for reasons that have been noted: that a run
            is not among them says nothing.
    """

    def __init__(self, plan: Plan, note: Callable[[str], None]) -> None:
        self.unknown: list[Entry] = []
        self._entries = plan.entries
        self._note = note

    def depth(self, entry: Entry, chain: tuple[Entry, ...] = ()) -> int:
        """How many models one after the other an entry starts from, itself included."""
        for place, one in enumerate(chain):
            if one is entry:
                self._note_circle(chain[place:])
                return 0
        sources = self._of(entry.pretrained) if entry.pretrained else []
        return 1 + max((self.depth(one, (*chain, entry)) for one in sources), default=0)

    def find(self, entry: Entry, norm: str, seed: int, runs: Iterable[Run]) -> tuple[Run, ...]:
        """The run that gives a model of a norm the weights of its backbone, if one is to.

        Args:
            entry: The model.
            norm: Its norm.
            seed: Of both.
            runs: Those that come before.
        """
        source = entry.pretrained
        if source is None:
            return ()
        runs, norms = list(runs), WEIGHTS_OF.get(norm, (norm,))
        for candidate in norms:
            found = [
                run
                for run in runs
                if (run.model, run.norm, run.seed) == (source.model, candidate, seed)
                and source.task in (None, run.task)
                and source.batch_setting in (None, run.batch_setting)
            ]
            if len(found) > 1:
                self._note_choice(entry, source, found)
                return ()
            if found:
                return (found[0],)
        if not any(one is other for one in self._of(source) for other in self.unknown):
            self._note(
                f"{entry.model} with {norm} starts from {source} with {' or '.join(norms)}, "
                "which the plan does not train"
            )
        return ()

    def _of(self, source: Source) -> list[Entry]:
        return [
            entry
            for entry in self._entries
            if entry.model == source.model and source.task in (None, entry.task)
        ]

    def _note_circle(self, circle: Sequence[Entry]) -> None:
        places = [self._entries.index(entry) for entry in circle]
        first = places.index(min(places))
        models = [entry.model for entry in (*circle[first:], *circle[: first + 1])]
        self._note(f"pretrained goes in a circle: {' from '.join(map(str, models))}")
        self.unknown += circle

    def _note_choice(self, entry: Entry, source: Source, found: Sequence[Run]) -> None:
        keys = [
            *["task: TASK"] * (len({run.task for run in found}) > 1),
            *["batch_setting: GPUSxSAMPLES"] * (len({run.batch_setting for run in found}) > 1),
        ]
        listed = [" ".join([run.task, run.batch_setting or run.config]) for run in found]
        advice = (
            f"choose one: pretrained: {{model: {source.model}, {', '.join(keys)}}}"
            if keys
            else "give them different names"
        )
        self._note(
            f"tasks.{entry.task}: {entry.model} starts from {source}, of which the plan trains "
            f"several, {', '.join(listed)}; {advice}"
        )
