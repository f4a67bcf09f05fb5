"""What a conversion did, as text."""

from __future__ import annotations

from collections import Counter

from normlib.checkpoint.released import Conversion, Entry
from normlib.checkpoint.released_files import LICENCE


def summary(conversion: Conversion) -> str:
    """One line for a log."""
    unused = len(conversion.unused)
    return (
        f"a released {conversion.format.title} checkpoint: {len(conversion.state)} weights "
        f"converted{f', {unused} not used' if unused else ''}"
    )


def report(conversion: Conversion, source: str, verbose: bool = False) -> str:
    """What became of every key, and how to evaluate the result.

    Args:
        conversion: The conversion.
        source: Name of the file.
        verbose: One line a key, instead of one a kind of change.
    """
    entries = conversion.entries
    counts = Counter(change for entry in entries for change in entry.changes)
    lines = [
        f"{source}: {conversion.format.title}, {len(entries)} keys",
        f"  {len(conversion.state)} used ({_counted(counts)}), {len(conversion.unused)} unused",
    ]
    if verbose:
        lines.extend(f"  {_line(entry)}" for entry in entries)
    else:
        groups: dict[tuple[object, ...], list[Entry]] = {}
        for entry in entries:
            key = (entry.about, entry.changes, entry.target is None)
            groups.setdefault(key, []).append(entry)
        lines.extend(f"  {len(group):4} {_line(group[0], group)}" for group in groups.values())
    if (norm_cfg := conversion.norm_cfg()) is not None:
        items = ", ".join(f"{key}={value!r}" for key, value in norm_cfg.items())
        lines.append(f"evaluates as published with norm_cfg=dict({items})")
    lines.extend(f"  {note}" for note in conversion.format.notes)
    lines.append(f"the published files, and what is made from them, are under {LICENCE}")
    return "\n".join(lines)


def _counted(counts: Counter[str]) -> str:
    order = ("taken", "renamed", "reshaped", "settled", "reordered")
    return ", ".join(f"{counts[name]} {name}" for name in order if counts[name])


def _line(entry: Entry, group: list[Entry] | None = None) -> str:
    change = ", ".join(entry.changes) or "unused"
    about = f" ({entry.about})" if group is not None or entry.target is None else ""
    example = ", e.g." if group is not None and len(group) > 1 else ":"
    arrow = f" -> {entry.target}" if entry.target not in (None, entry.key) else ""
    return f"{change}{about}{example} {entry.key}{arrow}"
