"""Guesses at why weights do not fit, for the error that lists what does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor, nn

from normlib.checkpoint.batch_norm import to_switch_norm


def hints(
    module: nn.Module,
    state_dict: Mapping[str, Tensor],
    missing: Sequence[str],
    misfits: Sequence[str],
) -> Iterator[str]:
    """What has probably happened, and what would mend it, where keys or shapes tell.

    Args:
        module: What the weights were for.
        state_dict: The weights.
        missing: Keys of the module that are not among them.
        misfits: Torch's texts about those that have another shape.
    """
    for prefix in _prefixes(state_dict, missing):
        yield (
            f"The file has such weights under {prefix!r}: name it in the init_cfg, "
            f"prefix={prefix!r}"
        )
    for part in _parts(state_dict, missing):
        yield (
            f"The file holds the {part} alone: load it with model.{part}.init_cfg="
            "dict(type='Pretrained', checkpoint=...)"
        )
    if any(key.endswith("mean_weight") for key in missing):
        count = len(to_switch_norm(state_dict, module).layers)
        if count:
            yield (
                f"The file has batch norms in place of {count} switchable norms: bn_to_sn = "
                "'uniform' (or 'bn', or a number) in the config starts from them"
            )
    if any("mean_weight: " in text and "[2]" in text and "[3]" in text for text in misfits):
        yield (
            "Ratios of 2 and of 3 statistics do not fit each other: files for one image a GPU mix "
            "instance and layer statistics alone, norm_cfg=dict(normalizers=('in', 'ln'))"
        )


def _prefixes(state_dict: Mapping[str, Tensor], missing: Sequence[str]) -> list[str]:
    """The sub-module of the file that has most of what is missing, if there is one."""
    if not missing:
        return []
    first = missing[0]
    starts = [key[: -len(first)] for key in state_dict if key.endswith("." + first)]
    most = len(missing) / 2
    return [start for start in starts if sum(start + key in state_dict for key in missing) > most][
        :1
    ]


def _parts(state_dict: Mapping[str, Tensor], missing: Sequence[str]) -> list[str]:
    """The part of the model that is, under shorter names, in the file."""
    parts = {key.partition(".")[0] for key in missing if key.partition(".")[2] in state_dict}
    return sorted(parts)[:1]
