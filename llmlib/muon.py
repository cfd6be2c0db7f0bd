"""Muon: momentum whose matrices are made orthogonal before each step.

The gradient of a weight matrix is mostly a few directions: some singular values are large, and most are
hundreds of times smaller. A step along it moves the matrix where it moves anyway. Muon replaces the
(averaged) gradient U S Vᵀ by U Vᵀ, in which every direction counts the same. No decomposition is needed: an
odd polynomial of the matrix acts on each singular value alone, and a few rounds of one that drives all of
them towards 1 do it, in nothing but matrix products.

It is for matrices that map a stream of vectors to another. Embeddings, the head, and vectors keep AdamW.

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from llmlib.precision import multiplies_bfloat16

# The slope at 0, 3.4445, is large, so that small singular values grow fast; the price is that they end
# between about 0.7 and 1.2 and not at 1, which does no harm.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalize(
    matrices: Float[Tensor, "*batch rows columns"], rounds: int = 5
) -> Float[Tensor, "*batch rows columns"]:
    """U Vᵀ of each matrix U S Vᵀ, nearly: every singular value ends between about 0.7 and 1.2.

    Each round takes X to a X + b (X Xᵀ) X + c (X Xᵀ)² X, and so each singular value s to a s + b s³ + c s⁵.

    Source: Jordan et al. (2024), the section "Newton-Schulz iteration".
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices  # X Xᵀ is then the smaller of the two products
    x = x / (x.norm(dim=(-2, -1), keepdim=True) * 1.01 + 1e-7)  # no singular value above 1, rounded or not
    shape, x = x.shape, x.reshape(-1, *x.shape[-2:])
    for _ in range(rounds):
        square = x @ x.mT
        # A product and a sum in one: b S + c S S, and then a X + (b S + c S S) X.
        factor = torch.baddbmm(square, square, square, beta=_B, alpha=_C)
        x = torch.baddbmm(x, factor, x, beta=_A)
    x = x.view(shape)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum for matrices.

    lr:           a matrix changes by about `lr` in each direction, times √(rows / columns) if it is tall.
    momentum:     how slowly the average of the gradients forgets; it looks one step ahead (Nesterov).
    weight_decay: pulls the matrices towards zero, by lr · weight_decay of themselves.
    rounds:       of the orthogonalisation. The paper has five. Four end at the same loss for the course's
                  recipe, in less time; three do not (1.575 in the place of 1.557, with one seed).

    Raises:
        ValueError: a parameter is not a matrix.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        rounds: int = 4,
    ) -> None:
        self.rounds = rounds
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.dim() != 2:
                    raise ValueError(f"Muon is for matrices: got a shape of {tuple(parameter.shape)}")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]  # torch's stub has two overloads
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[tuple(parameter.shape)].append(parameter)
            for (rows, columns), parameters in alike.items():
                # Matrices of one shape go together: a few large products instead of many small ones.
                ahead = torch.stack([self._average(parameter, group["momentum"]) for parameter in parameters])
                if multiplies_bfloat16(ahead.device):
                    ahead = ahead.bfloat16()  # the rounds correct what they round
                steps = orthogonalize(ahead, self.rounds).to(parameters[0].dtype)
                steps *= max(1.0, rows / columns) ** 0.5
                for parameter, change in zip(parameters, steps, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.sub_(change, alpha=group["lr"])

    def _average(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        average = state["momentum"].lerp_(parameter.grad, 1 - momentum)  # type: ignore[arg-type]
        return parameter.grad.lerp(average, momentum)  # type: ignore[union-attr]


class Together(torch.optim.Optimizer):
    """Several optimizers as one: they step together and are saved together."""

    def __init__(self, *optimizers: torch.optim.Optimizer) -> None:
        self.optimizers = optimizers
        super().__init__([group for optimizer in optimizers for group in optimizer.param_groups], {})
        # The same dicts, so that a learning rate that is set here is set there.
        self.param_groups = [group for optimizer in optimizers for group in optimizer.param_groups]

    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]  # torch's stub has two overloads
        for optimizer in self.optimizers:
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return {"optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for optimizer, state in zip(self.optimizers, state_dict["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.param_groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]


def muon_and_adamw(model: nn.Module, config: Any) -> Together:
    """Muon for the matrices of the blocks, AdamW for embeddings, head and vectors.

    config: a `TrainingConfig`. An embedding's row learns only when its token occurs, so tables go at ten
            times the pace of the rest.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [p for name, p in named if name.startswith("blocks.") and p.dim() == 2]
    tables = [p for name, p in named if "embedding" in name]
    taken = {id(p) for p in (*matrices, *tables)}
    others = [p for _, p in named if id(p) not in taken]
    pace = config.matrix_learning_rate / config.learning_rate
    muon = Muon([{"params": matrices, "pace": pace}], weight_decay=config.weight_decay)
    adamw = torch.optim.AdamW(
        [{"params": others, "pace": 1.0}, {"params": tables, "pace": 10.0}],
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        weight_decay=0.0,
        fused=all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for _, p in named),
    )
    return Together(muon, adamw)
