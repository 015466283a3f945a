"""SOAP: Adam in the slowly rotating eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, arXiv 2409.11321).

For a matrix G of gradients, L and R are running means of G G' and G' G; with their eigenvectors QL and QR Adam runs on
QL' G QR. Rate and distortion pull along different directions, which Adam's diagonal cannot separate.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

State = dict[str, Tensor]  # of a parameter
Group = dict[str, Any]  # the settings that a parameter goes by
Moving = tuple[nn.Parameter, State, Group]

# Larger sides keep their own basis: the cost grows with the cube (at 1024 a step of the default network costs a third
# more).
LARGEST = 300


class Soap(torch.optim.Optimizer):
    """Matrices by SOAP, all other parameters by Adam.

    Args:
        params: parameters; a convolution counts as a matrix [out, in * kernel] where it is pointwise or dense.
        lr, betas, eps: as for Adam. basis_beta: decay of L and R. every: steps between two turns of the basis.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.95, 0.98),
        eps: float = 1e-10,
        basis_beta: float = 0.95,
        every: int = 10,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "basis_beta": basis_beta, "every": every})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step; parameters without a gradient stay."""
        moving = self.moving()
        for parameter, state, group in moving:
            begin(parameter, state)
            state["step"] += 1
            update(parameter, state, group, *scales(state, group))
        self.turn(moving)

    def moving(self) -> list[Moving]:
        """What a step moves: list of (parameter, its state, its group)."""
        return [(p, self.state[p], group) for group in self.param_groups for p in group["params"] if p.grad is not None]

    @torch.no_grad()
    def turn(self, moving: Iterable[Moving]) -> None:
        """Turn the bases of those whose time it is."""
        for _, state, group in moving:
            if int(state["step"]) % group["every"] == 0:
                for side in ("left", "right"):
                    if side in state:
                        turn_basis(state, side)


def gradient_of(parameter: Tensor) -> Tensor:
    """The gradient of a parameter that has one."""
    assert parameter.grad is not None
    return parameter.grad


def matrix_shape(parameter: Tensor) -> tuple[int, int] | None:
    """(rows, columns) of the matrix that a parameter is for SOAP, or None where Adam serves it."""
    if parameter.ndim < 2 or parameter.ndim == 3:
        return None
    rows, columns = parameter.shape[0], parameter[0].numel()
    depthwise = parameter.ndim == 4 and parameter.shape[1] == 1
    return None if depthwise or min(rows, columns) < 8 else (rows, columns)


def begin(parameter: Tensor, state: State) -> None:
    """The state of a parameter that was never moved."""
    gradient, shape = gradient_of(parameter), matrix_shape(parameter)
    if "step" not in state:
        state["step"] = torch.tensor(0.0)
        state["exp_avg"] = torch.zeros_like(gradient, memory_format=torch.contiguous_format)
        state["exp_avg_sq"] = torch.zeros_like(gradient, memory_format=torch.contiguous_format)
    if shape and "left" not in state and "right" not in state:
        matrix = gradient.reshape(shape)
        for side, product in (("left", matrix @ matrix.T), ("right", matrix.T @ matrix)):
            if len(product) <= LARGEST:
                state[side] = product
                # In double precision: of a matrix of rank one with hardly a number in it, single precision finds no
                # eigenvectors.
                state[f"{side}_basis"] = torch.linalg.eigh(product.double())[1].flip(1).to(product.dtype).contiguous()


def scales(state: State, group: Group) -> tuple[float, float, float]:
    """(learning rate, what the two moments lack for having begun at zero): numbers."""
    step, (beta1, beta2) = int(state["step"]), group["betas"]
    return group["lr"], 1 - beta1**step, 1 - beta2**step


def update(
    parameter: Tensor,
    state: State,
    group: Group,
    rate: float | Tensor,
    first_share: float | Tensor,
    second_share: float | Tensor,
) -> None:
    """Move one parameter; the last three are numbers, or tensors without dimensions, which a captured graph reads
    anew."""
    shape = matrix_shape(parameter)
    gradient = gradient_of(parameter)
    matrix = gradient.reshape(shape) if shape else gradient.contiguous()
    beta1, beta2 = group["betas"]
    first, second = state["exp_avg"], state["exp_avg_sq"]
    if shape:
        first, second = first.view(shape), second.view(shape)
    first.lerp_(matrix, 1 - beta1)
    turned, mean = rotate(matrix, state), rotate(first, state)
    second.mul_(beta2).addcmul_(turned, turned, value=1 - beta2)
    corrected = (second / second_share).sqrt_().add_(group["eps"])
    move = rotate_back(mean / corrected / first_share, state).view(parameter.shape)
    if isinstance(rate, torch.Tensor):
        parameter.sub_(move * rate)
    else:
        parameter.sub_(move, alpha=rate)
    for side in ("left", "right") if shape else ():
        if side in state:
            product = matrix @ matrix.T if side == "left" else matrix.T @ matrix
            state[side].lerp_(product, 1 - group["basis_beta"])


def rotate(matrix: Tensor, state: State) -> Tensor:
    """QL' M QR."""
    if "left_basis" in state:
        matrix = state["left_basis"].T @ matrix
    return matrix @ state["right_basis"] if "right_basis" in state else matrix


def rotate_back(matrix: Tensor, state: State) -> Tensor:
    """QL M QR'."""
    if "left_basis" in state:
        matrix = state["left_basis"] @ matrix
    return matrix @ state["right_basis"].T if "right_basis" in state else matrix


def turn_basis(state: State, side: str) -> None:
    """One power iteration with QR, eigenvectors kept in falling order; second moments follow their vectors. Tensors
    stay where they lie."""
    product, basis = state[side], state[f"{side}_basis"]
    second = state["exp_avg_sq"].view(*(len(state[each]) if each in state else -1 for each in ("left", "right")))
    image = product @ basis
    order = (basis * image).sum(0).argsort(descending=True)
    # LAPACK answers column by column; kept row by row, as a checkpoint has it, so that a resumed run adds in the same
    # order.
    basis.copy_(torch.linalg.qr(image[:, order])[0])
    second.copy_(second[order] if side == "left" else second[:, order])
