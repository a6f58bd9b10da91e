"""The learning rate of each layer of a network: it falls with the layer's fan-in (Yang & Hu 2021).

Adam moves every weight by about the learning rate, whatever its gradient. Where the gradients of a unit agree, one step
moves the unit by the rate times its number of inputs. With one rate for all layers, a unit of 10,800 inputs moves 18
times as far as one of 588. So a layer with more than `FAN_IN` inputs learns at `FAN_IN / inputs` of the rate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from counterforensics.learning.layers import ConstrainedConv2d

RULES = ("fan-in", "one")

# Layers with at most so many inputs learn at the full rate [ours].
FAN_IN = 1024
# Constrained filters read grey levels, where other layers read normalised maps [ours].
CONSTRAINED = 0.3


def share_of_rate(inputs: int) -> float:
    """The share (0..1) of the learning rate at which a layer learns whose units have so many inputs.

    >>> [share_of_rate(inputs) for inputs in (9, 1024, 4096)]
    [1.0, 1.0, 0.25]
    """
    return min(1.0, FAN_IN / inputs)


def parameter_groups(
    network: nn.Module, *, rule: str, lr: float, weight_decay: float, orthogonal: Sequence[Tensor] = ()
) -> list[dict[str, Any]]:
    """Groups for an optimiser of torch: all parameters of `network`, each with its highest rate and its decay.

    rule: `fan-in` as above, or `one` rate for all.  Weights decay; biases, normalisations and constrained filters,
    whose size the constraint sets, do not.
    orthogonal: weights for `learning.muon`, whose groups are marked so. Their steps have a length of their own, and so
    the rule leaves their rate as it is.
    """
    constrained = {id(layer.weight) for layer in network.modules() if isinstance(layer, ConstrainedConv2d)}
    muon = {id(weight) for weight in orthogonal}
    groups: defaultdict[tuple[float, float, bool], list[Tensor]] = defaultdict(list)
    for tensor in network.parameters():
        is_constrained = id(tensor) in constrained
        is_orthogonal = id(tensor) in muon
        decay = weight_decay if tensor.ndim > 1 and not is_constrained else 0.0
        share = 1.0
        if rule == "fan-in" and is_constrained:
            share = CONSTRAINED
        elif rule == "fan-in" and tensor.ndim > 1 and not is_orthogonal:
            share = share_of_rate(tensor[0].numel())
        groups[lr * share, decay, is_orthogonal].append(tensor)
    return [
        {"params": tensors, "lr": rate, "weight_decay": decay} | ({"orthogonal": True} if is_orthogonal else {})
        for (rate, decay, is_orthogonal), tensors in groups.items()
    ]
