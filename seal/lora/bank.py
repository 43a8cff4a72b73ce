"""Slots for many LoRA adapters on one frozen model: trained, or answering, side by side."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache, partial

import torch
from torch import nn
from transformers import PreTrainedModel

from seal.errors import UserError
from seal.lora.files import AdapterFolder, weight_names

ALL_LINEAR = "all-linear"
"""Every linear layer but the language-model head, as PEFT understands it."""


def find_targets(model: PreTrainedModel, target_modules: str | Sequence[str]) -> list[str]:
    """Names of the linear layers that `target_modules` means: name endings, or "all-linear".

    Raises UserError for an ending that fits no layer, or a layer that cannot be adapted.
    """
    endings = [target_modules] if isinstance(target_modules, str) else list(target_modules)
    modules, head = dict(model.named_modules()), model.get_output_embeddings()
    linear = [
        n for n, layer in modules.items() if isinstance(layer, nn.Linear) and layer is not head
    ]
    if endings == [ALL_LINEAR]:
        return linear
    for ending in endings:
        if not any(f".{name}".endswith(f".{ending}") for name in modules):
            raise UserError(f"target module {ending}: {type(model).__name__} has none of that name")
    dotted = tuple(f".{ending}" for ending in endings)
    found = [name for name in modules if f".{name}".endswith(dotted)]
    for name in found:
        if name not in linear:
            kind = "the language-model head" if modules[name] is head else type(modules[name])
            raise UserError(f"target module {name} is {kind}; name linear layers below the head")
    return found


# Adapters often start from one seed, and a draw takes time: a quarter of a second at rank 128 on 1B
@lru_cache(maxsize=1)
def _draw(widths: tuple[int, ...], rank: int, seed: int) -> list[torch.Tensor]:
    """PEFT's initial A [rank, width] of layers of these widths; not to be changed."""
    generator = torch.Generator().manual_seed(seed)
    return [
        nn.init.kaiming_uniform_(torch.empty(rank, width), a=math.sqrt(5), generator=generator)
        for width in widths
    ]


@dataclass(frozen=True)
class _Layer:
    """An adapted linear layer, with its A [slots, rank, in] and B [slots, out, rank]."""

    name: str
    module: nn.Linear
    a: torch.Tensor
    b: torch.Tensor


class AdapterBank:
    """`slots` LoRA adapters of rank up to `rank` on the named linear layers of `model`.

    All weights of slot k are row k of `weights` [slots, P]; the layers' A and B are views of it. A
    slot that is all zeros, as every new one is, changes nothing: it answers as the bare model. A
    lower rank leaves the rest of its slot at zero, where every gradient is zero too.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        module_names: Sequence[str],
        *,
        slots: int,
        rank: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        modules = [model.get_submodule(name) for name in module_names]
        devices = {module.weight.device for module in modules}
        if len(devices) != 1:
            raise UserError(f"the model lies on {len(devices)} devices; load it on a single one")
        shapes = [(module.in_features, module.out_features) for module in modules]
        size = sum(rank * (inputs + outputs) for inputs, outputs in shapes)
        self.slots, self.rank = slots, rank
        self.weights = torch.zeros(slots, size, dtype=dtype, device=devices.pop())
        self.scales = self.weights.new_zeros(slots, dtype=torch.promote_types(dtype, torch.float32))
        self._layers = []
        self._runs_of: Callable[[int], Runs] | None = None
        start = 0
        for name, module, (inputs, outputs) in zip(module_names, modules, shapes, strict=True):
            middle, end = start + rank * inputs, start + rank * (inputs + outputs)
            a = self.weights[:, start:middle].view(slots, rank, inputs).detach()
            b = self.weights[:, middle:end].view(slots, outputs, rank).detach()
            self._layers.append(_Layer(name, module, a, b))
            start = end

    @classmethod
    def for_adapters(
        cls, model: PreTrainedModel, adapters: Mapping[str, AdapterFolder], *, slots: int
    ) -> "AdapterBank":
        """An empty bank into which any of `adapters` can be loaded.

        Raises ValueError that begins with the key of an adapter that does not fit the model.
        """
        linear = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
        for label, adapter in adapters.items():
            if odd := set(adapter.modules) - linear:
                raise ValueError(f"{label} adapts {min(odd)}, which this model does not have")
        names = sorted({name for adapter in adapters.values() for name in adapter.modules})
        rank = max(adapter.rank for adapter in adapters.values())
        bank = cls(model, names, slots=slots, rank=rank, dtype=model.dtype)
        for label, adapter in adapters.items():
            bank.check(adapter, f"{label} is for another model")
        return bank

    def enable_gradients(self) -> torch.Tensor:
        """Have backward passes add gradients to the tensor returned, [slots, P] like `weights`."""
        gradients = torch.zeros_like(self.weights)
        start = 0
        for layer in self._layers:
            for weight in (layer.a, layer.b):
                end = start + weight[0].numel()
                total = gradients[:, start:end].view(weight.shape)
                weight.requires_grad_()
                weight.register_post_accumulate_grad_hook(partial(_move_gradient, total))
                start = end
        return gradients

    def initialise(self, slot: int, *, rank: int, alpha: float, seed: int) -> None:
        """Fill a slot as PEFT does by default: Kaiming-uniform A from `seed`, B zero."""
        drawn = _draw(tuple(layer.module.in_features for layer in self._layers), rank, seed)
        names = [weight_names(layer.name)[0] for layer in self._layers]
        self.load(slot, AdapterFolder(rank, alpha / rank, dict(zip(names, drawn, strict=True))))

    def check(self, adapter: AdapterFolder, label: str, whole: bool = False) -> None:
        """Raise ValueError, begun by `label`, unless all weights belong to the adapted layers.

        A `whole` adapter must have weights for each layer.
        """
        views = self._views(0, adapter.rank)
        if whole and (missing := views.keys() - adapter.weights.keys()):
            raise ValueError(f"{label}: {min(missing)} is missing")
        for name, weight in adapter.weights.items():
            if name not in views:
                raise ValueError(f"{label}: {name} belongs to no adapted layer")
            if weight.shape != views[name].shape:
                found, needed = tuple(weight.shape), tuple(views[name].shape)
                raise ValueError(f"{label}: {name} has shape {found}, not {needed}")

    @torch.no_grad()
    def load(self, slot: int, adapter: AdapterFolder) -> None:
        """Fill a slot; layers that the adapter leaves out stay bare. Raises as `check` does."""
        self.check(adapter, "adapter")
        self.weights[slot] = 0
        self.scales[slot] = adapter.scale
        views = self._views(slot, adapter.rank)
        for name, weight in adapter.weights.items():
            views[name].copy_(weight)

    def export(self, slot: int, rank: int) -> dict[str, torch.Tensor]:
        """Copies of a slot's weights on the CPU, by the names of an adapter file."""
        views = self._views(slot, rank)
        return {name: view.to("cpu", copy=True).contiguous() for name, view in views.items()}

    def _views(self, slot: int, rank: int) -> dict[str, torch.Tensor]:
        views = {}
        for layer in self._layers:
            a, b = layer.a.detach()[slot, :rank], layer.b.detach()[slot, :, :rank]
            views |= dict(zip(weight_names(layer.name), (a, b), strict=True))
        return views

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Hook the bank into the model's layers; on leaving, the model is as it was."""
        with ExitStack() as hooks:
            for layer in self._layers:
                hook = partial(self._add_adapters, layer)
                hooks.callback(layer.module.register_forward_hook(hook).remove)
            yield

    @contextmanager
    def routed(self, slots: Sequence[int], sizes: Sequence[int]) -> Iterator[None]:
        """Let the model's batches go through slots: `sizes[i]` adjacent rows through `slots[i]`.

        Covers every call of the model inside. A batch of a single row, as in training, is cut into
        runs of tokens instead.
        """
        # Every layer asks for the same runs
        runs = cache(partial(make_runs, list(slots), list(sizes), self.scales))
        before, self._runs_of = self._runs_of, runs
        try:
            yield
        finally:
            self._runs_of = before

    def _add_adapters(
        self, layer: _Layer, _module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor
    ) -> torch.Tensor | None:
        if self._runs_of is None:
            return None
        x = inputs[0].flatten(0, -2)
        runs = self._runs_of(len(x))
        # PEFT computes in the type of the activations too, where it runs under autocast
        low = multiply_by_slot(x, layer.a.to(x.dtype), runs)
        low = (low * runs.scale).to(x.dtype)
        return output + multiply_by_slot(low, layer.b.to(x.dtype), runs).view_as(output)


def _move_gradient(total: torch.Tensor, weight: torch.Tensor) -> None:
    # Were `total` the weight's own gradient, torch would warn of its layout: rows of slots, with
    # the other layers' weights between
    total.add_(weight.grad)
    weight.grad = None


@dataclass(frozen=True)
class Runs:
    """N tokens as runs: `sizes[i]` adjacent tokens use slot `slots[i]`; `scale` [N, 1]."""

    slots: list[int]
    sizes: list[int]
    scale: torch.Tensor
    select: torch.Tensor | None = None
    """[runs] the slots as an index; None: they are all slots in order."""
    gather: torch.Tensor | None = None
    """[runs * longest] tokens of each run, padded with its last; None: multiply run by run."""
    scatter: torch.Tensor | None = None
    """[N] where in `gather` each token is."""


def make_runs(slots: list[int], sizes: list[int], scales: torch.Tensor, tokens: int) -> Runs:
    """The runs of a batch of `tokens` tokens whose adjacent `sizes[i]` rows use slot `slots[i]`.

    All rows have the same number of tokens. `scales` [slots].
    """
    # Indices are made on the CPU and then moved, so that a GPU never has to be waited for
    device = scales.device
    sizes = [size * (tokens // sum(sizes)) for size in sizes]
    index, lengths = torch.tensor(slots), torch.tensor(sizes)
    scale = scales[index.repeat_interleave(lengths).to(device)][:, None]
    # Few kernels count on a GPU. On a CPU one run after the other costs about 10 microseconds
    # a piece, padding costs arithmetic: measured, they break even where padding doubles it
    padded = len(sizes) * max(sizes)
    if len(sizes) == 1 or (device.type == "cpu" and padded > 2 * sum(sizes)):
        return Runs(slots, sizes, scale)
    starts = lengths.cumsum(0) - lengths
    places = torch.arange(max(sizes))
    gather = starts[:, None] + torch.minimum(places, lengths[:, None] - 1)
    scatter = (places < lengths[:, None]).flatten().nonzero().flatten()
    select = None if slots == list(range(len(scales))) else index.to(device)
    return Runs(slots, sizes, scale, select, gather.flatten().to(device), scatter.to(device))


def multiply_by_slot(x: torch.Tensor, weights: torch.Tensor, runs: Runs) -> torch.Tensor:
    """Multiply each token with its slot's matrix: x [N, in], weights [slots, out, in] -> [N, out].

    Tokens of different slots never meet, not even times zero: an adapter that diverges to NaN does
    not touch its neighbours.
    """
    if len(runs.slots) == 1:
        return x @ weights[runs.slots[0]].T
    if runs.gather is None:
        matrices = weights.unbind(0)
        pieces = zip(runs.slots, x.split(runs.sizes), strict=True)
        return torch.cat([piece @ matrices[slot].T for slot, piece in pieces])
    if runs.select is not None:
        weights = weights.index_select(0, runs.select)
    padded = x.index_select(0, runs.gather).view(len(runs.slots), -1, x.shape[1])
    product = torch.bmm(padded, weights.transpose(1, 2))
    return product.flatten(0, 1).index_select(0, runs.scatter)
