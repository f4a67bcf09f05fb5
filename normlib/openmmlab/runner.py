"""mmengine's Runner with checked weights, and at home on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from pathlib import Path
from typing import Any

from mmengine.device import get_device
from mmengine.dist import broadcast, get_world_size
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.registry import MODEL_WRAPPERS, RUNNERS
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from normlib.openmmlab import sharded
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.pretrained import load_weights, state_dict_of


@RUNNERS.register_module()
class CheckedRunner(Runner):
    """A Runner that refuses weights which do not fit and trains on CPU processes as on GPUs.

    The config stays as the user wrote it, and so does the copy in the work directory: one that was
    trained on CPUs can be trained on GPUs.
    """

    _resuming = False

    def load_checkpoint(
        self,
        filename: str,
        map_location: str | Callable[..., Any] = "cpu",
        strict: bool = False,
        revise_keys: Sequence[tuple[str, str]] = ((r"^module\.", ""),),
    ) -> Any:
        """Load weights into the model.

        Args:
            filename: Path, URL or model zoo name.
            map_location: As in ``torch.load``.
            strict: Whether the file must hold exactly the model's weights. Otherwise the config's
                ``allow_missing_weights`` may be missing, what is left over is logged, and its
                ``bn_to_sn`` is followed.
            revise_keys: Pairs (pattern, replacement) applied to the keys of the file.

        Returns:
            The checkpoint.

        Raises:
            CheckpointError: If the file is missing or does not fit.
        """
        checkpoint = CheckpointLoader.load_checkpoint(filename, map_location, self.logger)
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        model = bare_model(self.model)
        load_weights(
            model,
            state_dict_of(checkpoint, filename, revise_keys=revise_keys, module=model),
            filename,
            self.cfg.get("allow_missing_weights") or (),
            exact=strict or self._resuming,
            bn_to_sn=self.cfg.get("bn_to_sn"),
        )
        self._has_loaded = True
        self.logger.info(f"Load checkpoint from {filename}")
        return checkpoint

    def resume(self, *args: Any, **kwargs: Any) -> None:
        """Resume as mmengine does, from a checkpoint that fits the model exactly.

        The best checkpoint of a run with another work directory is not this run's to replace.
        """
        self._resuming = True
        try:
            super().resume(*args, **kwargs)
        finally:
            self._resuming = False
        self._check_epoch_length()
        recorded = self.message_hub.runtime_info
        best = [key for key in recorded if key.startswith("best_ckpt")]
        own = Path(self.work_dir).resolve()
        if any(own not in Path(str(recorded[key])).resolve().parents for key in best):
            for key in [key for key in recorded if key.startswith("best_")]:
                del recorded[key]

    def _check_epoch_length(self) -> None:
        """Warn where an epoch has another number of iterations than before."""
        loop = self.train_loop
        if not isinstance(loop, EpochBasedTrainLoop) or not self.epoch:
            return
        now, before = len(loop.dataloader), self.iter / self.epoch
        if now != before:
            self.logger.warning(
                f"an epoch has {now} iterations, in the run that is resumed it had {before:g}: "
                "learning rates that follow iterations (warm-up, convert_to_iter_based) do not end "
                "where they would have. With another number of processes keep the images of all "
                "together: change train_dataloader.batch_size"
            )

    def _init_model_weights(self) -> None:
        """Initialise the weights, and let all ranks have those of rank 0, but for sharded ones."""
        model = bare_model(self.model)
        initialise = getattr(model, "init_weights", None)
        if callable(initialise):
            initialise()
            own = {shard.name for shard in sharded.row_shards(model)}
            for name, value in model.state_dict().items():
                if name not in own:
                    broadcast(value)

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Save as mmengine does, on rank 0; of sharded parameters the rows of all ranks.

        A collective call: every rank has to make it.
        """
        save_optimizer = kwargs.get("save_optimizer", True)
        wrapper = self.optim_wrapper if save_optimizer else None
        with sharded.whole_state(bare_model(self.model), wrapper):
            super().save_checkpoint(*args, **kwargs)

    def build_train_loop(self, loop: Any) -> BaseLoop:
        """Build the training loop.

        Raises:
            ConfigError: If the data give no batch.
        """
        built: BaseLoop = super().build_train_loop(loop)
        check_batches(built.dataloader)
        return built

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        """Move the model to its device and, in distributed training, wrap it.

        Raises:
            ConfigError: If a model with SyncBN is to train on several CPU processes.
        """
        if self.distributed and get_device() == "cpu" and not is_model_wrapper(model):
            _refuse_sync_bn(model)
            model_wrapper_cfg = self._cpu_wrapper_cfg(model_wrapper_cfg)
        sharded.leave_out_of_ddp(model)
        wrapped: nn.Module = super().wrap_model(model_wrapper_cfg, model)
        return wrapped

    def _cpu_wrapper_cfg(self, cfg: dict[str, Any] | None) -> dict[str, Any]:
        """DistributedDataParallel takes no device numbers on the CPU."""
        if cfg is None:
            find_unused = self.cfg.get("find_unused_parameters", False)
            cfg = dict(broadcast_buffers=False, find_unused_parameters=find_unused)
        cfg = {"type": "MMDistributedDataParallel", **cfg}
        if issubclass(MODEL_WRAPPERS.get(cfg["type"]), DistributedDataParallel):
            cfg["device_ids"] = None
        return cfg

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """Build the optimizer; on the CPU, mixed precision is bfloat16 autocast."""
        amp = isinstance(optim_wrapper, dict) and optim_wrapper.get("type") == "AmpOptimWrapper"
        if amp and get_device() == "cpu":
            optim_wrapper = {k: v for k, v in optim_wrapper.items() if k != "loss_scale"}
            optim_wrapper["type"] = "CPUAmpOptimWrapper"
        return super().build_optim_wrapper(optim_wrapper)


def check_batches(dataloader: Any) -> None:
    """Raise a ConfigError if a dataloader of known length has no batch to train on."""
    if isinstance(dataloader.dataset, Sized) and len(dataloader) == 0:
        raise ConfigError(
            f"train_dataloader has no batch: its data set has {len(dataloader.dataset)} samples, a "
            f"batch {dataloader.batch_size} on each of {get_world_size()} processes "
            f"(drop_last={dataloader.drop_last}); give more data or a smaller batch_size"
        )


def bare_model(model: nn.Module) -> nn.Module:
    """The model inside the wrappers of distributed training and test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.get_submodule("module")
    return model


def _refuse_sync_bn(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if type(module).__name__ in ("SyncBatchNorm", "_SyncBatchNorm"):
            raise ConfigError(
                f"{name or 'the model'} is a SyncBN layer, which works on GPUs only. On CPU "
                "processes use SyncSN or BN, e.g. --cfg-options norm_cfg.type=SyncSN"
            )
