"""PSPNet's and DeepLabV3's heads with a norm of its own after global pooling.

There every map is a single pixel: its instance variance is zero, and the layer statistics mix
channels of one position. The authors of SN advise against a switchable norm in that place.
"""

from __future__ import annotations

import inspect
from typing import Any

from mmcv.cnn import ConvModule
from mmseg.models.decode_heads import ASPPHead, PSPHead
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS

from normlib import SwitchNorm


def pooled_conv(head: BaseDecodeHead, pool_norm_cfg: str | dict[str, Any] | None) -> ConvModule:
    """The 1x1 convolution of a head that follows its global pooling.

    Args:
        head: Its channels, `norm_cfg` and `act_cfg` are those of the convolution.
        pool_norm_cfg: The norm: a `norm_cfg`; `'same'` for that of the head; None for none, the
            convolution having a bias instead; `'auto'` for none where the head's is a switchable
            norm, else the same.

    Raises:
        ValueError: `pool_norm_cfg` is anything else.
    """
    if pool_norm_cfg == "auto":
        pool_norm_cfg = None if _is_switchable(head.norm_cfg) else "same"
    if pool_norm_cfg == "same":
        pool_norm_cfg = head.norm_cfg
    if pool_norm_cfg is not None and not _is_norm(pool_norm_cfg):
        raise ValueError(
            f"pool_norm_cfg is {pool_norm_cfg!r}; write 'auto', 'same', None for no norm, or a "
            "norm such as dict(type='BN')"
        )
    return ConvModule(
        head.in_channels,
        head.channels,
        1,
        conv_cfg=head.conv_cfg,
        norm_cfg=pool_norm_cfg,
        act_cfg=head.act_cfg,
    )


def _layer(norm_cfg: Any) -> Any:
    kind = norm_cfg.get("type") if isinstance(norm_cfg, dict) else None
    return MODELS.get(kind) if isinstance(kind, str) else kind


def _is_norm(norm_cfg: Any) -> bool:
    return inspect.isclass(_layer(norm_cfg))


def _is_switchable(norm_cfg: dict[str, Any] | None) -> bool:
    layer = _layer(norm_cfg)
    return inspect.isclass(layer) and issubclass(layer, SwitchNorm)


@MODELS.register_module()
class PoolNormPSPHead(PSPHead):
    """mmseg's `PSPHead`, whose scale 1 (one pixel) has the norm that `pool_norm_cfg` says.

    Args:
        pool_norm_cfg: See :func:`pooled_conv`.
        **kwargs: As for `PSPHead`.
    """

    def __init__(self, pool_norm_cfg: str | dict[str, Any] | None = "auto", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for scale, branch in zip(self.pool_scales, self.psp_modules, strict=True):
            if scale == 1:
                branch[1] = pooled_conv(self, pool_norm_cfg)


@MODELS.register_module()
class PoolNormASPPHead(ASPPHead):
    """mmseg's `ASPPHead`, whose image pooling has the norm that `pool_norm_cfg` says.

    Args:
        pool_norm_cfg: See :func:`pooled_conv`.
        **kwargs: As for `ASPPHead`.
    """

    def __init__(self, pool_norm_cfg: str | dict[str, Any] | None = "auto", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.image_pool[1] = pooled_conv(self, pool_norm_cfg)
