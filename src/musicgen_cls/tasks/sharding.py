"""Parameters that are divided over processes: fully sharded data parallelism.

Zhao et al. 2023, "PyTorch FSDP" (https://arxiv.org/abs/2304.11277), in PyTorch's second form, `fully_shard`: each
process keeps a part of each parameter, of its gradient and of Adam's state, and gathers the whole parameters of a
module when it needs them. `--trainer.strategy sharded` trains so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh


class ShardedStrategy(ModelParallelStrategy):
    """Divides the parameters over all processes. A checkpoint is one file, as that of one process."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False, **kwargs)

    def setup_environment(self) -> None:
        """Make the mesh of all processes; Lightning's has one for each machine."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()


StrategyRegistry.register("sharded", ShardedStrategy, description="parameters divided over all processes (FSDP)")


LOSSES = ("loss", "bits")
"""Methods of generators that take the place of `forward` in training."""


def shard(network: nn.Module, mesh: DeviceMesh) -> None:
    """Divide the parameters of a network over the processes of a mesh.

    A classifier gathers one of its modules at a time. A generator, which calls its modules in other ways than by
    `forward`, gathers all of them.
    """
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    for parameter in network.parameters():  # it does not take `channels_last`
        parameter.data = parameter.data.contiguous()
    methods = [name for name in LOSSES if hasattr(network, name)]
    parts = [] if methods else [c for c in network.children() if not isinstance(c, nn.ModuleList | nn.ModuleDict)]
    for module in (*parts, network):
        fully_shard(module, mesh=mesh)
    for name in methods:
        register_fsdp_forward_method(network, name)


def gather(network: nn.Module, whole: bool) -> None:
    """Keep the whole parameters on every process, or only its parts again.

    Processes can then call the network on their own, as evaluation does: they have different numbers of batches, and
    one alone draws the report.
    """
    from torch.distributed.fsdp import FSDPModule

    for module in network.modules():
        if isinstance(module, FSDPModule):
            module.set_reshard_after_forward(not whole, recurse=False)
            module.unshard() if whole else module.reshard()


def as_in(module: nn.Module, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Whole weights, which are the same on every process, each divided like the parameter of its name."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    divided = {name: own for name, own in module.state_dict().items() if isinstance(own, DTensor)}

    def part(name: str, value: Any) -> Any:
        own = divided.get(name)
        if own is None or isinstance(value, DTensor) or not isinstance(value, Tensor) or value.shape != own.shape:
            return value
        return distribute_tensor(value, own.device_mesh, own.placements)

    return {name: part(name, value) for name, value in state.items()}
