"""Folders of data that the runs of a plan read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .configs import ConfigFacts
from .plan import ROOT, Entry, Plan
from .toy_data import SWITCHES, toy_folder


class DataFolders:
    """Where data are, by the plan or by the configs.

    Args:
        plan: The plan.
        out: Folder of generated data.
        needed: Whether data that are not there are wrong.
        note: Takes what is wrong.
    """

    def __init__(self, plan: Plan, out: Path, needed: bool, note: Callable[[str], None]) -> None:
        self._given = {key: Path(v).expanduser().absolute() for key, v in plan.data.items()}
        self._out = out
        self._needed = needed
        self._note = note

    def option(self, entry: Entry, facts: ConfigFacts) -> dict[str, str]:
        """The option that gives a config its data; empty where they are where the config says."""
        if entry.toy_data is not None:
            switch = SWITCHES.get(entry.toy_data)
            return {f"{switch}.root": str(toy_folder(self._out, entry.toy_data))} if switch else {}
        for switch in facts.switches & set(self._given):
            return {f"{switch}.root": str(self._given[switch])}
        given = {f"{switch}.root" for switch in facts.switches} & entry.options.keys()
        roots = [str(entry.options[key]) for key in given] or sorted(facts.data_roots)
        for root in roots:
            folder = ROOT / Path(root).expanduser()
            if self._needed and not folder.is_dir():
                keys = " or ".join(f"data.{switch}" for switch in sorted(facts.switches))
                advice = f"; give its place by {keys} in the plan" if keys else ""
                self._note(f"{entry.task}: {folder} is not a folder of data{advice}")
        return {}

    def look_at_given(self, taken: set[str] | None) -> None:
        """Look at the folders that the plan names.

        Args:
            taken: Keys that its configs take; None where not all configs are known.
        """
        for switch, folder in self._given.items():
            if taken is not None and switch not in taken:
                self._note(f"data.{switch}: no config of the plan takes it")
            elif self._needed and not folder.is_dir():
                self._note(f"data.{switch}: {folder} is not a folder")
