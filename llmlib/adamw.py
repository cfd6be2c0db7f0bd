"""AdamW: a step whose size does not depend on the gradient's, and a decay that does not pass through it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


def adamw_step(
    parameter: Float[Tensor, "*shape"],
    gradient: Float[Tensor, "*shape"],
    average: Float[Tensor, "*shape"],
    square_average: Float[Tensor, "*shape"],
    step: int,
    *,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """The parameter after a step, and the two averages to keep for the next one.

    average:        of the gradients, newer ones counting more; all zeros before the first step.
    square_average: of the squares of their entries; likewise.
    step:           which step this is, counted from 1.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2.
    """
    average = beta1 * average + (1 - beta1) * gradient
    square_average = beta2 * square_average + (1 - beta2) * gradient.square()
    direction = average / (1 - beta1**step)
    size = (square_average / (1 - beta2**step)).sqrt()
    decayed = parameter - learning_rate * weight_decay * parameter
    return decayed - learning_rate * direction / (size + eps), average, square_average


class AdamW(torch.optim.Optimizer):
    """`adamw_step` for all parameters of a model: to be read, and slower than `torch.optim.AdamW`."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]  # torch's stub has two overloads
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = 0
                    state["average"] = torch.zeros_like(parameter)
                    state["square_average"] = torch.zeros_like(parameter)
                state["step"] += 1
                changed, state["average"], state["square_average"] = adamw_step(
                    parameter,
                    parameter.grad,
                    state["average"],
                    state["square_average"],
                    state["step"],
                    learning_rate=group["lr"],
                    beta1=group["betas"][0],
                    beta2=group["betas"][1],
                    eps=group["eps"],
                    weight_decay=group["weight_decay"],
                )
                parameter.copy_(changed)
