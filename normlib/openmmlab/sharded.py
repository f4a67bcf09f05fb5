"""Parameters whose rows are spread over the ranks: a model-parallel classifier, for one.

A module declares them by an attribute ``row_shards``: a dict from the name of a parameter of its
own to ``(first, total)``, the number of its first row here and of all rows on all ranks. The ranks
hold the rows in their order, without gaps. Such a parameter is left out of data parallelism, its
gradient counts once in gradient norms, and checkpoints hold all rows, so that they can be read by
another number of ranks. The module takes its own rows out of whole ones when it is loaded.

Besides, ``row_sparse_gradients = True`` says that their gradients are sparse, which needs an
optimizer that can do with them, and ``clip_grad = False`` leaves them out of gradient clipping.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from mmengine import dist
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.distributed import recv, send
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from normlib.openmmlab.errors import ConfigError

# Bytes that are sent at once where shards are gathered, so that a device needs little room.
_BLOCK = 64 * 2**20


class RowShard(NamedTuple):
    """Rows of a parameter that this rank holds.

    Attributes:
        name: Key of the parameter in the model's state dict.
        parameter: The rows of this rank, shape (rows, ...).
        first: Number of its first row.
        total: Number of rows on all ranks.
    """

    name: str
    parameter: nn.Parameter
    first: int
    total: int


def row_shards(model: nn.Module) -> list[RowShard]:
    """The sharded parameters of a model; none where one rank holds all rows."""
    shards = []
    for path, module in model.named_modules():
        for name, (first, total) in getattr(module, "row_shards", {}).items():
            parameter = module.get_parameter(name)
            if len(parameter) < total:
                key = f"{path}.{name}" if path else name
                shards.append(RowShard(key, parameter, first, total))
    return shards


def leave_out_of_ddp(model: nn.Module) -> None:
    """Have DistributedDataParallel neither broadcast nor average the sharded parameters.

    Nor does it take sparse gradients, which a model on one rank may have as well.
    """
    sharded = {shard.name for shard in row_shards(model)}
    names = [
        name
        for path, module in model.named_modules()
        for name in _declared(path, module)
        if name in sharded or getattr(module, "row_sparse_gradients", False)
    ]
    if names:
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, names)


@contextmanager
def whole_state(model: nn.Module, optim_wrapper: OptimWrapper | None = None) -> Iterator[None]:
    """Have state dicts that rank 0 makes in the block hold the rows of all ranks, on the CPU.

    A collective call: every rank has to enter. Without sharded parameters it does nothing.

    Args:
        model: The model, not wrapped.
        optim_wrapper: Its optimizer, whose state of the sharded parameters is gathered too.
    """
    shards = row_shards(model)
    with ExitStack() as stack:
        if shards:
            whole = {shard.name: _gather_rows(shard.parameter.detach()) for shard in shards}

            def put_weights(_: nn.Module, state: dict[str, Any], prefix: str, *__: Any) -> None:
                state.update({prefix + name: rows for name, rows in whole.items()})

            if dist.is_main_process():
                stack.callback(model.register_state_dict_post_hook(put_weights).remove)
        if shards and optim_wrapper is not None:
            optimizer = optim_wrapper.optimizer
            states = {
                number: _gather_state(optimizer, shard.parameter)
                for number, shard in _numbered(optimizer, shards)
            }

            def put_state(_: Optimizer, state: dict[str, Any]) -> None:
                for number, entries in states.items():
                    if entries:
                        state["state"][number] = {**state["state"].get(number, {}), **entries}

            if dist.is_main_process():
                stack.callback(optimizer.register_state_dict_post_hook(put_state).remove)
        yield


def prepare_optimizer(wrapper: OptimWrapper, model: nn.Module) -> None:
    """Let an optimizer know of the sharded parameters, when it is loaded and clips gradients.

    Args:
        wrapper: The optimizer, in its wrapper.
        model: The model, which may be wrapped.

    Raises:
        ConfigError: The optimizer cannot do with sparse gradients that the model has.
    """
    shards = row_shards(model)
    sparse = any(getattr(module, "row_sparse_gradients", False) for module in model.modules())
    if sparse and not getattr(wrapper.optimizer, "takes_sparse_rows", False):
        raise ConfigError(
            "the classes are sampled (model.head.sample_rate), which gives sparse gradients; "
            f"optim_wrapper.optimizer.type is {type(wrapper.optimizer).__name__!r}, and must be "
            "'RowSparseSGD'"
        )
    unclipped = {
        module.get_parameter(name)
        for module in model.modules()
        for name in getattr(module, "row_shards", {})
        if not getattr(module, "clip_grad", True)
    }
    by_norm = wrapper.clip_grad_kwargs and wrapper.clip_func is torch.nn.utils.clip_grad_norm_
    if by_norm and (shards or sparse or unclipped):
        own = {shard.parameter for shard in shards} - unclipped

        def clip(parameters: Iterable[Tensor], **options: Any) -> Tensor:
            return clip_grad_norm((p for p in parameters if p not in unclipped), own, **options)

        wrapper.clip_func = clip
    if not shards:
        return

    def take_own_rows(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        # Neither the dict nor the ones inside it are ours to change.
        state = {**state, "state": dict(state["state"])}
        for number, shard in _numbered(optimizer, shards):
            if number in state["state"]:
                entries = state["state"][number]
                state["state"][number] = {k: _own_rows(v, shard) for k, v in entries.items()}
        return state

    wrapper.optimizer.register_load_state_dict_pre_hook(take_own_rows)


def clip_grad_norm(
    parameters: Iterable[Tensor],
    shards: Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """``torch.nn.utils.clip_grad_norm_`` for models with sharded parameters and sparse gradients.

    The norm is that of the whole model, the same on every rank. A collective call.

    Args:
        parameters: Parameters with gradients, which are scaled in place.
        shards: Those among them that are sharded; the other ones are alike on all ranks.
        max_norm: Largest norm; infinite to leave the gradients as they are.
        norm_type: Of the norm; finite.
        error_if_nonfinite: Raise a RuntimeError where the norm is NaN or infinite.
        foreach: As in torch.

    Returns:
        The norm before clipping, shape ().
    """
    sharded = set(shards)
    # Of a sparse gradient the rows that it holds.
    parts: dict[bool, list[Tensor]] = {True: [], False: []}
    for parameter in parameters:
        if parameter.grad is not None:
            if parameter.grad.is_sparse:  # accumulation may leave a row twice
                parameter.grad = parameter.grad.coalesce()
            gradient = parameter.grad
            parts[parameter in sharded].append(
                gradient._values() if gradient.is_sparse else gradient
            )
    own, alike = (torch.nn.utils.get_total_norm(parts[k], norm_type) for k in (True, False))
    if sharded:
        own = own.to(alike.device).pow(norm_type)
        dist.all_reduce(own)
        own = own.pow(1 / norm_type)
    total = torch.linalg.vector_norm(torch.stack([own.to(alike.device), alike]), norm_type)
    if error_if_nonfinite and not total.isfinite():
        raise RuntimeError(f"the total norm of the gradients is {total.item()}")
    if max_norm != float("inf"):
        scale = (max_norm / (total + 1e-6)).clamp(max=1.0)
        for gradient in parts[True] + parts[False]:
            gradient.mul_(scale.to(gradient.device))
    return total


def _declared(path: str, module: nn.Module) -> list[str]:
    names = getattr(module, "row_shards", {})
    return [f"{path}.{name}" if path else name for name in names]


def _numbered(optimizer: Optimizer, shards: list[RowShard]) -> Iterator[tuple[int, RowShard]]:
    """The sharded parameters that an optimizer has, by their numbers in its state dict."""
    by_parameter = {shard.parameter: shard for shard in shards}
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    for number, parameter in enumerate(parameters):
        if parameter in by_parameter:
            yield number, by_parameter[parameter]


def _gather_state(optimizer: Optimizer, parameter: nn.Parameter) -> dict[str, Tensor]:
    """The entries of an optimizer's state that have a row for each row of a parameter."""
    state: Mapping[str, Any] = optimizer.state.get(parameter, {})
    names = [
        name
        for name, value in state.items()
        if isinstance(value, Tensor) and value.shape == parameter.shape
    ]
    return {name: _gather_rows(state[name]) for name in names}


def _gather_rows(rows: Tensor) -> Tensor:
    """The rows of all ranks on the CPU of rank 0; elsewhere those of the rank."""
    counts = dist.all_gather_object(len(rows))
    step = max(1, _BLOCK // max(1, rows[:1].numel() * rows.element_size()))
    if dist.get_rank() != 0:
        for block in rows.split(step):
            send(block.contiguous(), 0)
        return rows
    whole = torch.empty((sum(counts), *rows.shape[1:]), dtype=rows.dtype)
    whole[: len(rows)].copy_(rows)
    start = len(rows)
    for rank, count in enumerate(counts[1:], 1):
        for first in range(0, count, step):
            block = torch.empty_like(rows[:1].expand(min(step, count - first), *rows.shape[1:]))
            recv(block, rank)
            whole[start + first : start + first + len(block)].copy_(block)
        start += count
    return whole


def _own_rows(value: Any, shard: RowShard) -> Any:
    if not (isinstance(value, Tensor) and value.dim() and len(value) == shard.total):
        return value
    return value[shard.first : shard.first + len(shard.parameter)]
