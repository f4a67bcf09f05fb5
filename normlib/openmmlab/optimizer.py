"""Parameter groups that know switchable norms."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn
from torch.optim import Optimizer

from normlib import SwitchNorm, switch_norm_layers
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.sharded import prepare_optimizer

_OWN_KEYS = ("control_lr_mult", "control_decay_mult", "control_clip_grad")


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class SwitchNormOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's default constructor, extended to switchable norms.

    gamma and beta of switchable norms get the settings that those of batch norm would get, so that
    a change of norm changes nothing else. ``paramwise_cfg`` takes three more keys, for the control
    parameters alone (SSN is trained with 0.1, 0 and 1.0); None is as good as absent:

    - ``control_lr_mult``: factor on the learning rate;
    - ``control_decay_mult``: factor on the weight decay, by default that of gamma;
    - ``control_clip_grad``: largest norm of their gradients together. It applies to what the
      optimizer is about to use: after accumulation, unscaling and ``optim_wrapper.clip_grad``,
      which counts every parameter.

    ``custom_keys`` that match take precedence, as for every parameter.

    Raises:
        ConfigError: One of the three is negative or no number, or a factor has no learning rate or
            weight decay to act on.
    """

    def __init__(
        self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None
    ) -> None:
        paramwise_cfg = dict(paramwise_cfg or {})
        own = {key: paramwise_cfg.pop(key, None) for key in _OWN_KEYS}
        for key, value in own.items():
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (is_number and value >= 0):
                raise ConfigError(
                    f"optim_wrapper.paramwise_cfg.{key} is {value!r}; it must be a number from 0 on"
                )
        self.control_clip_grad: float | None = own.pop("control_clip_grad")
        # The base class groups parameters one by one only if some key asks for it.
        paramwise_cfg |= {key: value for key, value in own.items() if value is not None}
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        for key, base in (("control_lr_mult", "lr"), ("control_decay_mult", "weight_decay")):
            if key in paramwise_cfg and self.optimizer_cfg.get(base) is None:
                raise ConfigError(
                    f"optim_wrapper.paramwise_cfg.{key} scales optim_wrapper.optimizer.{base}, "
                    "which is not given; set it"
                )

    def add_params(
        self, params: list[dict[str, Any]], module: nn.Module, prefix: str = "", **kwargs: Any
    ) -> None:
        """Add the parameters of a module and its children as groups to ``params``."""
        if not isinstance(module, SwitchNorm):
            super().add_params(params, module, prefix=prefix, **kwargs)
            return
        for name, parameter in module.named_parameters(recurse=False):
            group: dict[str, Any] = {"params": [parameter]}
            if not parameter.requires_grad:
                continue
            if self.paramwise_cfg.get("bypass_duplicate") and self._is_in(group, params):
                continue
            full_name = f"{prefix}.{name}" if prefix else name
            options = self._options(full_name, name)
            for key, value in options.items():
                print_log(f"paramwise_options -- {full_name}:{key}={value}", logger="current")
            params.append(group | options)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper of a model, which may be wrapped for distribution."""
        wrapper = super().__call__(model)
        prepare_optimizer(wrapper, model)
        if self.control_clip_grad is not None:
            control = [
                parameter
                for _, layer in switch_norm_layers(model)
                for parameter in (layer.mean_weight, layer.var_weight)
                if parameter.requires_grad
            ]
            max_norm = self.control_clip_grad

            def clip(optimizer: Optimizer, *_: Any) -> None:
                # A fused optimizer unscales gradients itself, by what GradScaler leaves here.
                scale = getattr(optimizer, "grad_scale", None)
                limit = max_norm if scale is None else max_norm * scale
                torch.nn.utils.clip_grad_norm_(control, limit)

            wrapper.optimizer.register_step_pre_hook(clip)
        return wrapper

    def _options(self, full_name: str, name: str) -> dict[str, Any]:
        """What sets a parameter apart from the optimizer's defaults."""
        custom = self.paramwise_cfg.get("custom_keys", {})
        matches = sorted((key for key in custom if key in full_name), key=lambda k: (-len(k), k))
        if matches:
            rule = custom[matches[0]]
            return self._scaled(rule.get("lr_mult"), rule.get("decay_mult")) | dict(rule)
        control = name not in ("weight", "bias")
        decay_rules = ["control_decay_mult"] * control + ["norm_decay_mult"]
        decay_rules += ["bias_decay_mult"] * (name == "bias") + ["flat_decay_mult"]
        decays = [self.paramwise_cfg.get(rule) for rule in decay_rules]
        return self._scaled(
            self.paramwise_cfg.get("control_lr_mult") if control else None,
            next((decay for decay in decays if decay is not None), None),
        )

    def _scaled(self, lr_mult: float | None, decay_mult: float | None) -> dict[str, Any]:
        options = {}
        if lr_mult is not None:
            options["lr"] = self.base_lr * lr_mult
        if decay_mult is not None and self.base_wd is not None:
            options["weight_decay"] = self.base_wd * decay_mult
        return options
