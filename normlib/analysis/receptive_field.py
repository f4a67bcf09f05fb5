"""How much of its input a network sees at each switchable norm."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from normlib.analysis.extents import FILLING, PIXEL, Extent, follow, larger
from normlib.layers import SwitchNorm, switch_norm_layers


def receptive_fields(
    model: nn.Module, run: Callable[[], object]
) -> dict[str, tuple[int, int] | None]:
    """Receptive field and stride at the input of every switchable norm of a model.

    The theoretical ones: of the kernels, strides and dilations of convolutions, pooling and
    resizing on the longest way from the network's input, which is what the first of them reads;
    other operators, norms included, keep the largest of their inputs. Of the last two dimensions
    the larger value counts, so that of videos it is the extent in space, and of several calls the
    largest.

    Args:
        model: Any module.
        run: Runs the model once, in this thread and without torch.compile.

    Returns:
        For the name of each layer, the receptive field along one side and the stride in pixels;
        None where a position depends on all others (global and adaptive pooling, linear layers,
        attention), where regions were cut out (RoIAlign), and where the layer was not run.
    """
    with FieldTracker(model) as tracker:
        run()
    return tracker.fields()


class FieldTracker:
    """The same as a context, in which the model is run.

    Nothing that is computed changes, and no error of the observation leaves the context: what is
    not known then is None.

    Args:
        model: Any module.
    """

    def __init__(self, model: nn.Module) -> None:
        self._layers = list(switch_norm_layers(model))
        self._found: dict[SwitchNorm, Extent] = {}
        self._flow = _Flow()
        self._stack = ExitStack()

    def __enter__(self) -> FieldTracker:
        with ExitStack() as stack:
            for _, layer in self._layers:
                for handle in (
                    layer.register_forward_pre_hook(self._before, with_kwargs=True),
                    layer.register_forward_hook(self._after, with_kwargs=True),
                ):
                    stack.callback(handle.remove)
            stack.enter_context(self._flow)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def fields(self) -> dict[str, tuple[int, int] | None]:
        """What :func:`receptive_fields` returns."""
        known = {} if self._flow.failed else self._found
        return {
            name: known[layer].rounded() if layer in known else None for name, layer in self._layers
        }

    def _before(self, layer: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        assert isinstance(layer, SwitchNorm)
        extent = self._flow.largest(args[0] if args else kwargs["input"]) or PIXEL
        self._found[layer] = larger([self._found.get(layer, extent), extent])

    def _after(self, layer: nn.Module, args: Any, kwargs: dict[str, Any], output: object) -> None:
        # The statistics cover everything, which is not what is meant by a receptive field.
        self._flow.put(output, self._flow.largest((args, kwargs)))


class _Flow(TorchDispatchMode):
    """Notes the extent of every tensor that depends on the network's input.

    Attributes:
        failed: Whether something could not be followed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failed = False
        self._extents = WeakTensorKeyDictionary()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not self.failed:
            try:
                self._follow(func, args, kwargs or {}, result)
            except Exception:  # an operator with arguments like no other must not end a training
                self.failed = True
        return result

    def largest(self, values: Any) -> Extent | None:
        """Of the tensors in some values; None where no tensor is known."""
        extents = [self._extents[t] for t in _tensors(values) if t in self._extents]
        return larger(extents) if extents else None

    def put(self, values: Any, extent: Extent | None) -> None:
        """Note the extent of all tensors in some values."""
        if extent is not None:
            for tensor in _tensors(values):
                self._extents[tensor] = extent

    def _follow(self, func: Any, args: Any, kwargs: dict[str, Any], result: Any) -> None:
        name = func._schema.name.partition("::")[2]
        if name in FILLING:
            for tensor in _tensors(result):
                self._extents.pop(tensor, None)
            return
        names = [argument.name for argument in func._schema.arguments]
        arguments = dict(zip(names, args, strict=False)) | kwargs
        self.put(result, follow(name, self.largest(arguments), arguments, result))


def _tensors(values: Any) -> Iterable[Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))
