"""mmengine's Runner with checked weights, and at home on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

from mmengine.device import get_device
from mmengine.dist import broadcast, broadcast_object_list, get_world_size, is_main_process
from mmengine.fileio import join_path
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import MODEL_WRAPPERS, RUNNERS
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner
from mmengine.runner.checkpoint import CheckpointLoader, save_checkpoint
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from normlib.openmmlab import sharded
from normlib.openmmlab.errors import ConfigError
from normlib.openmmlab.hooks.metrics_file import evaluated_at
from normlib.openmmlab.hooks.stop_signal import StopSignalHook
from normlib.openmmlab.pretrained import load_weights, state_dict_of
from normlib.openmmlab.resuming.choice import choose, meta_to_resume
from normlib.openmmlab.resuming.data_loading import CheckedLoader, naming_dead_workers
from normlib.openmmlab.resuming.loops import ExactEpochLoop, ExactIterLoop
from normlib.openmmlab.resuming.run_state import (
    RANK_BUFFERS,
    changed_settings,
    describe,
    gather_rank_buffers,
    go_on,
    inexact,
    place_of,
    put_rank_buffers,
)
from normlib.openmmlab.resuming.writing import state_of, write_whole
from normlib.openmmlab.work_dir_lock import locked
from normlib.openmmlab.wrappers import bare_model

# What of mmengine is replaced by the one of ours that a run can be resumed from exactly.
_LOOPS = {"EpochBasedTrainLoop": "ExactEpochLoop", "IterBasedTrainLoop": "ExactIterLoop"}
# Changes of the config that are told on resuming.
_SHOWN = 12


@RUNNERS.register_module()
class CheckedRunner(Runner):
    """A Runner that refuses weights which do not fit and trains on CPU processes as on GPUs.

    The config stays as the user wrote it, and so does the copy in the work directory: one that was
    trained on CPUs can be trained on GPUs.
    """

    _resuming = False
    _resumed_meta: dict[str, Any] = {}
    _resume: bool | str
    _load_from: str | None

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
        if self._resuming:
            # mmengine runs a config that it finds here.
            checkpoint["meta"].pop("config", None)
            self._resumed_meta = checkpoint["meta"]
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
        if self._resuming and len(checkpoint.get(RANK_BUFFERS, ())) == get_world_size():
            put_rank_buffers(model, checkpoint[RANK_BUFFERS])
        self._has_loaded = True
        self.logger.info(f"Load checkpoint from {filename}")
        return checkpoint

    def train(self) -> nn.Module:
        """Train; from the checkpoint that is to be gone on from, if there is one.

        Raises:
            CheckpointError: It cannot be gone on from.
            ConfigError: Another training writes to the work directory.
            TrainingError: A worker of a dataloader has died.
        """
        with locked(self.work_dir, self.logger):
            path = choose(self.work_dir, self._resume, self._load_from, self.logger)
            self._resume = path is not None
            if path is not None:
                self._load_from = path
                self._adopt_seed(path)
            with naming_dead_workers():
                try:
                    model: nn.Module = super().train()
                finally:
                    self._let_go()
        return model

    def _let_go(self) -> None:
        """Leave signals alone, and end the workers of dataloaders."""
        for hook in self.hooks:
            if isinstance(hook, StopSignalHook):
                hook.stop_listening()
        for loop in (self._train_loop, self._val_loop):
            loader = getattr(loop, "dataloader", None)
            if isinstance(loader, CheckedLoader):
                loader.stop_workers()

    def val(self) -> dict[str, float]:
        """Validate; a dead worker of the dataloader is a TrainingError."""
        with naming_dead_workers():
            return dict(super().val())

    def test(self) -> dict[str, float]:
        """Test; a dead worker of the dataloader is a TrainingError."""
        with naming_dead_workers():
            return dict(super().test())

    def _adopt_seed(self, checkpoint: str) -> None:
        """Draw as the run that is resumed did, from the building of dataloaders on."""
        seed = meta_to_resume(checkpoint).get("seed")
        given = self._randomness_cfg.get("seed")
        if seed is None or seed == given:
            return
        if given is not None:
            self.logger.warning(f"randomness.seed is {given}; {checkpoint} goes on with its {seed}")
        self._randomness_cfg.update(seed=seed)
        self.set_randomness(**self._randomness_cfg)

    def resume(self, *args: Any, **kwargs: Any) -> None:
        """Resume as mmengine does, from a checkpoint that fits the model exactly, and exactly.

        Samplers, random streams and the buffers of every rank go on as if the run had not been
        interrupted; the log says what differs where that cannot be. The best checkpoint of a run
        with another work directory is not this run's to replace.
        """
        self._resuming = True
        try:
            super().resume(*args, **kwargs)
        finally:
            self._resuming = False
        place = place_of(self._resumed_meta)
        go_on(self, place)
        for note in inexact(self, place):
            self.logger.warning(f"this resume is not bit-exact: {note}")
        if changes := changed_settings(self, self._resumed_meta):
            more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
            listed = "; ".join(changes[:_SHOWN])
            self.logger.warning(f"the config is not the one of the checkpoint: {listed}{more}")
        self._check_epoch_length(place.get("epoch_length"))
        loop = self.train_loop
        if isinstance(loop, ExactEpochLoop | ExactIterLoop):
            loop.validates_first = self._lacks_validation(loop)
        recorded = self.message_hub.runtime_info
        if self._has_best_elsewhere(recorded):
            for key in [key for key in recorded if key.startswith("best_")]:
                del recorded[key]

    def _has_best_elsewhere(self, recorded: Mapping[str, Any]) -> bool:
        """Whether the best checkpoint so far is that of a run with another work directory.

        Rank 0, which wrote it, says so for all: they compare the next ones with its score, and save
        together.
        """
        own = Path(self.work_dir).resolve()
        best = [Path(str(recorded[key])) for key in recorded if key.startswith("best_ckpt")]
        elsewhere = [any(own not in path.resolve().parents for path in best)]
        broadcast_object_list(elsewhere)
        return elsewhere[0]

    def _lacks_validation(self, loop: ExactEpochLoop | ExactIterLoop) -> bool:
        """Whether a run ended between its last checkpoint and the validation that was to follow."""
        if isinstance(loop, ExactEpochLoop):
            due = loop.epoch > 0 and not loop.batches_done and loop.validates_after(loop.epoch)
        else:
            due = loop.iter > 0 and loop.validates_after(loop.iter)
        # All ranks validate or none: the file of rank 0 decides, which alone writes it.
        lacks = [due and self.iter != evaluated_at(self.work_dir)]
        broadcast_object_list(lacks)
        return lacks[0]

    def _check_epoch_length(self, before: int | None) -> None:
        """Warn where an epoch has another number of iterations than before."""
        loop = self.train_loop
        if not isinstance(loop, EpochBasedTrainLoop) or before is None:
            return
        now = len(loop.dataloader)
        if now != before:
            self.logger.warning(
                f"an epoch has {now} iterations, in the run that is resumed it had {before}: "
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

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict[str, Any] | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict[str, Any] | None = None,
        by_epoch: bool = True,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        """Save as mmengine does, with what an exact resume takes, and whole or not at all.

        A local file is written under another name, read back from the disk and renamed. Of sharded
        parameters it holds the rows of all ranks. Rank 0 writes; a collective call: every rank has
        to make it.

        Args:
            out_dir: The folder.
            filename: The file.
            file_client_args: As in mmengine; no local file then.
            save_optimizer: Whether to save the optimizer, without which nothing can be resumed.
            save_param_scheduler: Whether to save the schedules.
            meta: More to keep.
            by_epoch: Whether this is the end of an epoch; else that of an iteration.
            backend_args: As in mmengine; no local file then.

        Raises:
            TrainingError: The file cannot be written; the one that it was to replace is as it was.
        """
        wrapper = self.optim_wrapper if save_optimizer else None
        model = bare_model(self.model)
        buffers = gather_rank_buffers(model) if save_optimizer else None
        done = dict(epoch=self.epoch, iter=self.iter)
        done["epoch" if by_epoch else "iter"] += 1
        meta = done | (meta or {})
        meta = describe(self, meta) | meta
        with sharded.whole_state(model, wrapper):
            if not is_main_process():
                return
            checkpoint = state_of(self, meta, save_optimizer, save_param_scheduler)
        if buffers is not None:
            checkpoint[RANK_BUFFERS] = buffers
        self.call_hook("before_save_checkpoint", checkpoint=checkpoint)
        if file_client_args is None and backend_args is None and "://" not in out_dir:
            write_whole(checkpoint, Path(out_dir, filename))
        else:
            path = join_path(out_dir, filename, backend_args=backend_args)
            save_checkpoint(checkpoint, path, file_client_args, backend_args)

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader[Any] | dict[str, Any],
        seed: int | None = None,
        diff_rank_seed: bool = False,
    ) -> DataLoader[Any]:
        """Build a dataloader as mmengine does, with what :class:`CheckedLoader` adds."""
        if isinstance(dataloader, DataLoader):
            return dataloader
        built = Runner.build_dataloader(dataloader, seed, diff_rank_seed)
        return CheckedLoader.of(built, seed or 0)

    def register_default_hooks(self, hooks: dict[str, Hook | dict[str, Any]] | None = None) -> None:
        """Register mmengine's default hooks, checkpoints safe, and the one that ends on signals."""
        hooks = {"checkpoint": dict(type="CheckpointHook", interval=1), **(hooks or {})}
        for name, hook in hooks.items():
            if isinstance(hook, dict) and hook.get("type") == "CheckpointHook":
                hooks[name] = {**hook, "type": "SafeCheckpointHook"}
        super().register_default_hooks(hooks)
        self.register_hook(dict(type="StopSignalHook"))

    def build_train_loop(self, loop: Any) -> BaseLoop:
        """Build the training loop.

        Raises:
            ConfigError: If the data give no batch.
        """
        if isinstance(loop, dict):
            by_epoch = "EpochBasedTrainLoop" if loop.get("by_epoch") else "IterBasedTrainLoop"
            kind = loop.get("type", by_epoch)
            loop = {key: value for key, value in loop.items() if key != "by_epoch"}
            loop["type"] = _LOOPS.get(kind, kind) if isinstance(kind, str) else kind
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
        batches = dataloader.batch_sampler
        raise ConfigError(
            f"train_dataloader has no batch: its data set has {len(dataloader.dataset)} samples, a "
            f"batch {batches.batch_size} on each of {get_world_size()} processes "
            f"(drop_last={batches.drop_last}); give more data or a smaller batch_size"
        )


def _refuse_sync_bn(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if type(module).__name__ in ("SyncBatchNorm", "_SyncBatchNorm"):
            raise ConfigError(
                f"{name or 'the model'} is a SyncBN layer, which works on GPUs only. On CPU "
                "processes use SyncSN or BN, e.g. --cfg-options norm_cfg.type=SyncSN"
            )
