"""I3D: ResNets inflated to clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.backbones import ResNet
from mmengine.logging import print_log
from mmengine.registry import MODELS
from torch import Tensor, nn

from .checkpointing import checkpointed
from .errors import ModelError
from .inflation import absent_norms, inflate
from .time_conv import TimeConv3d

# Norms that exist for one number of dimensions only, by the name for images.
_FOR_CLIPS = {"BN": "BN3d", "BN2d": "BN3d", "IN": "IN3d", "IN2d": "IN3d"}
_STEM_POOLS = {"pad": 1, "valid": 0}


@MODELS.register_module()
class I3DResNet(ResNet):
    """A ResNet whose 2-D weights are inflated to clips, with the names of mmdet's.

    Carreira and Zisserman (arXiv 1705.07750) in the form of Wang et al., "Non-local Neural
    Networks" (arXiv 1711.07971), table 1: in some blocks the first convolution covers three frames,
    and after the first stage a maximum over two frames halves the clip. Norms take their statistics
    over (T, H, W).

    A state dict of a 2-D ResNet is inflated as it is loaded, see
    :func:`tasks.video.models.inflation.inflate`; the log then has a line for every layer, and a
    norm that the file has not, or not wholly, is an error.

    Args:
        depth: 18, 34, 50, 101 or 152.
        conv1_kernel_t: Frames that the first convolution covers, odd.
        conv1_stride_t: Its stride over frames.
        pool1_kernel_t: Frames that the stem's pooling covers.
        pool1_stride_t: Its stride over frames.
        stem_pool: ``'pad'`` pools the stem with a padding of 1, as the 2-D networks that the
            weights come from; ``'valid'`` without, as the published baseline (maps of 55 for
            clips of 224).
        with_pool2: Whether the maximum over two frames follows the first stage.
        inflate: For each stage, for each of its blocks, whether its first convolution covers three
            frames. By default as in the baseline: all blocks of the first stage, every other one of
            the others.
        with_cp: Keep the inputs of the stem and of blocks alone, and compute the rest again in the
            backward pass: less memory, and a third more computation. Gradients and running
            statistics are as without.
        norm_cfg: Config of the norms; names for images, such as ``'BN'``, mean those for clips.
        norm_eval: As in mmdet's ResNet.
        zero_init_residual: Start the blocks as identities, where no weights are loaded.
        init_cfg: Initial weights; by default Kaiming's.
        **kwargs: See mmdet's ResNet.

    Raises:
        ModelError: An argument has a value that is unknown or does not fit the depth.
    """

    def __init__(
        self,
        depth: int,
        *,
        conv1_kernel_t: int = 5,
        conv1_stride_t: int = 1,
        pool1_kernel_t: int = 1,
        pool1_stride_t: int = 1,
        stem_pool: str = "pad",
        with_pool2: bool = True,
        inflate: Sequence[Sequence[bool | int]] | None = None,
        with_cp: bool = False,
        norm_cfg: dict[str, Any] | None = None,
        norm_eval: bool = False,
        zero_init_residual: bool = False,
        init_cfg: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if depth not in self.arch_settings:
            raise ModelError(
                f"model.backbone.depth is {depth!r}; it is one of {sorted(self.arch_settings)}"
            )
        if stem_pool not in _STEM_POOLS:
            raise ModelError(f"model.backbone.stem_pool is {stem_pool!r}; it is 'pad' or 'valid'")
        if conv1_kernel_t < 1 or conv1_kernel_t % 2 == 0:
            raise ModelError(f"model.backbone.conv1_kernel_t is {conv1_kernel_t}; it must be odd")
        frames = dict(
            conv1_stride_t=conv1_stride_t,
            pool1_kernel_t=pool1_kernel_t,
            pool1_stride_t=pool1_stride_t,
        )
        for name, count in frames.items():
            if count < 1:
                raise ModelError(f"model.backbone.{name} is {count}; it must be 1 or more")
        norm_cfg = dict(norm_cfg or {"type": "BN"})
        norm = norm_cfg["type"] = _FOR_CLIPS.get(norm_cfg["type"], norm_cfg["type"])
        if isinstance(norm, str) and (norm.endswith(("1d", "2d")) or norm.startswith("LN")):
            raise ModelError(
                f"model.backbone.norm_cfg.type is {norm!r}, which does not normalise clips; BN, "
                "SyncBN, GN, IN, SN, SyncSN, SSN and SyncSSN do"
            )
        super().__init__(
            depth,
            conv_cfg=dict(type=TimeConv3d),
            norm_cfg=norm_cfg,
            norm_eval=norm_eval,
            zero_init_residual=zero_init_residual,
            init_cfg=init_cfg or dict(type="Kaiming", layer="TimeConv3d"),
            **kwargs,
        )
        if self.deep_stem or self.avg_down:
            raise ModelError("model.backbone: deep_stem and avg_down have no inflated form")
        # Not those of the blocks, which know the checkpointing of mmdet.
        self.with_cp = with_cp
        self._least_frames = conv1_stride_t * max(pool1_kernel_t, pool1_stride_t)
        self._least_frames *= 2 if with_pool2 else 1
        self.conv1 = self.conv1.over_time(conv1_kernel_t, conv1_stride_t)
        self.maxpool = nn.MaxPool3d(
            (pool1_kernel_t, 3, 3), (pool1_stride_t, 2, 2), (0, *[_STEM_POOLS[stem_pool]] * 2)
        )
        self.pool2 = nn.MaxPool3d((2, 1, 1)) if with_pool2 else nn.Identity()
        for layer, flags in zip(self.res_layers, self._pattern(inflate), strict=True):
            for block, flag in zip(getattr(self, layer), flags, strict=True):
                if flag:
                    block.conv1 = block.conv1.over_time(3)
        self._freeze_stages()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps of the stages in ``out_indices``.

        Args:
            x: Clips of shape (N, C, T, H, W).

        Returns:
            Of shape (N, C', T', H', W') each.
        """
        if x.dim() != 5 or x.shape[2] < self._least_frames:
            raise ModelError(
                f"I3DResNet: input of shape {tuple(x.shape)}; it takes clips of shape (N, C, T, H, "
                f"W) with {self._least_frames} frames (T) or more, as it strides over time"
            )
        recompute = self.with_cp and self.training and torch.is_grad_enabled()

        def through(module: nn.Module, run: Any, x: Tensor) -> Tensor:
            return checkpointed(module, run, x) if recompute else run(x)

        x = through(self, self._stem, x)
        outs = []
        for k, name in enumerate(self.res_layers):
            for block in getattr(self, name):
                x = through(block, block, x)
            if k == 0:
                x = self.pool2(x)
            if k in self.out_indices:
                outs.append(x)
        return tuple(outs)

    def init_weights(self) -> None:
        """Fill in the initial weights."""
        done, loaded = self.is_init, self.init_cfg.get("type") == "Pretrained"
        super().init_weights()
        if done or loaded or not self.zero_init_residual:
            return
        for name in self.res_layers:
            for block in getattr(self, name):
                nn.init.zeros_(
                    (block.norm3 if hasattr(block, "norm3_name") else block.norm2).weight
                )

    def fuse_norm_activation(self) -> int:
        """Let the norm of the stem do its ReLU; returns how many norms that reaches."""
        if not hasattr(self.norm1, "activation") or type(self.relu) is not nn.ReLU:
            return 0
        if self.norm1.activation is not None or self.norm1.dropout:
            return 0
        self.norm1.activation = "relu"
        self.relu = nn.Identity()
        return 1

    def _stem(self, x: Tensor) -> Tensor:
        return self.maxpool(self.relu(self.norm1(self.conv1(x))))

    def _pattern(self, given: Sequence[Sequence[bool | int]] | None) -> list[list[bool]]:
        """For each stage, for each block, whether it reaches over time."""
        counts = self.stage_blocks
        if given is None:
            last = len(counts) - 1
            return [
                [k == 0 or i % 2 == (1 if k == last else 0) for i in range(count)]
                for k, count in enumerate(counts)
            ]
        pattern = [[bool(flag) for flag in stage] for stage in given]
        if [len(stage) for stage in pattern] != list(counts):
            raise ModelError(
                f"model.backbone.inflate has stages of {[len(stage) for stage in pattern]} blocks; "
                f"a depth of {self.depth} has {list(counts)}"
            )
        return pattern

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        if report := inflate(state_dict, self, prefix):
            print_log(f"2-D weights inflated for {type(self).__name__}:\n{report}", "current")
            if absent := absent_norms(state_dict, self, prefix):
                error_msgs.append(
                    f"{len(absent)} weights of norms are not among the 2-D weights: "
                    f"{', '.join(absent[:4])}{' and more' * (len(absent) > 4)}"
                )
        super()._load_from_state_dict(
            state_dict,
            prefix,
            local_metadata,
            strict,
            missing_keys,
            unexpected_keys,
            error_msgs,
        )
