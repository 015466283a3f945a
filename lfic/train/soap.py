"""SOAP: Adam in the slowly rotating eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, arXiv 2409.11321).

For a matrix G of gradients, L and R are running means of G G' and G' G; with their eigenvectors QL and QR Adam runs on
QL' G QR. Rate and distortion pull along different directions, which Adam's diagonal cannot separate.
"""
import torch

LARGEST = 300  # sides beyond keep their own basis: the cost grows with the cube (at 1024 a step of the default network costs a third more)


class Soap(torch.optim.Optimizer):
    """Matrices by SOAP, all other parameters by Adam.

    Args:
        params: parameters; a convolution counts as a matrix [out, in * kernel] where it is pointwise or dense.
        lr, betas, eps: as for Adam. basis_beta: decay of L and R. every: steps between two turns of the basis.
    """

    def __init__(self, params, lr=1e-3, betas=(0.95, 0.98), eps=1e-10, basis_beta=0.95, every=10):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "basis_beta": basis_beta, "every": every})

    @torch.no_grad()
    def step(self, closure=None):
        """One step; parameters without a gradient stay."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    update(parameter, self.state[parameter], group)


def matrix_shape(parameter):
    """(rows, columns) of the matrix that a parameter is for SOAP, or None where Adam serves it."""
    if parameter.ndim < 2 or parameter.ndim == 3:
        return None
    rows, columns = parameter.shape[0], parameter[0].numel()
    depthwise = parameter.ndim == 4 and parameter.shape[1] == 1
    return None if depthwise or min(rows, columns) < 8 else (rows, columns)


def update(parameter, state, group):
    """Move one parameter."""
    gradient = parameter.grad
    shape = matrix_shape(parameter)
    if "step" not in state:
        state["step"] = torch.tensor(0.0)
        state["exp_avg"] = torch.zeros_like(gradient, memory_format=torch.contiguous_format)
        state["exp_avg_sq"] = torch.zeros_like(gradient, memory_format=torch.contiguous_format)
    matrix = gradient.reshape(shape) if shape else gradient.contiguous()
    if shape and "left" not in state and "right" not in state:
        for side, product in (("left", matrix @ matrix.T), ("right", matrix.T @ matrix)):
            if len(product) <= LARGEST:
                state[side] = product
                # In double precision: of a matrix of rank one with hardly a number in it, single precision finds no eigenvectors.
                state[f"{side}_basis"] = torch.linalg.eigh(product.double())[1].flip(1).to(product.dtype).contiguous()
    state["step"] += 1
    step = int(state["step"])
    beta1, beta2 = group["betas"]
    first, second = state["exp_avg"], state["exp_avg_sq"]
    if shape:
        first, second = first.view(shape), second.view(shape)
    first.lerp_(matrix, 1 - beta1)
    turned, mean = rotate(matrix, state), rotate(first, state)
    second.mul_(beta2).addcmul_(turned, turned, value=1 - beta2)
    corrected = (second / (1 - beta2**step)).sqrt_().add_(group["eps"])
    move = rotate_back(mean / corrected / (1 - beta1**step), state)
    parameter.sub_(move.view(parameter.shape), alpha=group["lr"])
    for side in ("left", "right") if shape else ():
        if side in state:
            product = matrix @ matrix.T if side == "left" else matrix.T @ matrix
            state[side].lerp_(product, 1 - group["basis_beta"])
            if step % group["every"] == 0:
                turn_basis(state, side, second)


def rotate(matrix, state):
    """QL' M QR."""
    if "left_basis" in state:
        matrix = state["left_basis"].T @ matrix
    return matrix @ state["right_basis"] if "right_basis" in state else matrix


def rotate_back(matrix, state):
    """QL M QR'."""
    if "left_basis" in state:
        matrix = state["left_basis"] @ matrix
    return matrix @ state["right_basis"].T if "right_basis" in state else matrix


def turn_basis(state, side, second):
    """One power iteration with QR, eigenvectors kept in falling order; second moments follow their vectors."""
    product, basis = state[side], state[f"{side}_basis"]
    image = product @ basis
    order = (basis * image).sum(0).argsort(descending=True)
    # LAPACK answers column by column; kept row by row, as a checkpoint has it, so that a resumed run adds in the same order.
    state[f"{side}_basis"] = torch.linalg.qr(image[:, order])[0].contiguous()
    second.copy_(second[order] if side == "left" else second[:, order])
