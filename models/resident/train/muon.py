"""Muon: momentum whose matrices are made orthogonal before each step, in f32 and for equal shapes at once.

PyTorch's own works in bfloat16, which is slow on processors without such instructions.
"""

import torch

# Newton-Schulz polynomial (Jordan and others, 2024): pushes all singular values to between 0.7 and 1.2.
A, B, C = 3.4445, -4.7750, 2.0315
ROUNDS = 4


def orthogonal(matrices):
    """[count, rows, columns], rows <= columns: roughly U V^T of each singular value decomposition."""
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(ROUNDS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=B, alpha=C), x, beta=A)
    return x


class Muon(torch.optim.Optimizer):
    """For matrices only. A step moves by `lr * sqrt(max(1, rows / columns))` times an orthogonal matrix."""

    def __init__(self, matrices, lr, momentum, weight_decay):
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = {}
            for matrix in group["params"]:
                is_tall = matrix.shape[0] > matrix.shape[1]
                by_shape.setdefault(tuple(sorted(matrix.shape)), []).append((matrix, is_tall))
            for members in by_shape.values():
                self._step_together(members, group)

    def _step_together(self, members, group):
        updates = []
        for matrix, is_tall in members:
            held = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
            held.lerp_(matrix.grad, 1 - group["momentum"])
            update = matrix.grad.lerp(held, group["momentum"])
            updates.append(update.mT if is_tall else update)
        for (matrix, is_tall), update in zip(members, orthogonal(torch.stack(updates))):
            scale = max(1, matrix.shape[0] / matrix.shape[1]) ** 0.5
            matrix.mul_(1 - group["lr"] * group["weight_decay"])
            matrix.add_(update.mT if is_tall else update, alpha=-group["lr"] * scale)
