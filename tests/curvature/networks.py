"""Small networks in float64 with their dense Hessians: MLP, CNN with BatchNorm, LSTM, transformer."""

import torch
from torch import nn

from cmbench.curvature.products import Hessian, weighted

F64 = torch.float64


class Sequence(nn.Module):
    """A model of sequences whose last state is classified."""

    def __init__(self, body, width, classes):
        super().__init__()
        self.body, self.head = body, nn.Linear(width, classes)

    def forward(self, x):
        states = self.body(x)
        return self.head((states[0] if isinstance(states, tuple) else states)[:, -1])


class Unused(nn.Module):
    """The loss does not depend on all of its parameters."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x):
        return self.used(x)


def mlp(activation=nn.Tanh):
    return nn.Sequential(nn.Linear(4, 6), activation(), nn.Linear(6, 3))


def cnn():
    features = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
    model = nn.Sequential(*features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).double()
    model(torch.randn(20, 1, 8, 8, dtype=F64))  # running statistics that are not those of the start
    return model


def transformer():
    layer = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True)
    return Sequence(layer, 4, 3)


def dead():
    model = mlp(nn.ReLU)
    nn.init.constant_(model[0].bias, -100)
    return model


def cross_entropy(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def concave(model, batch):
    """Its Hessian has mostly negative eigenvalues."""
    return -cross_entropy(model, batch)


def squares(model, batch):
    return nn.functional.mse_loss(model(batch[0]), nn.functional.one_hot(batch[1], 3).double())


FLAT, IMAGES, SEQUENCES = (4,), (1, 8, 8), (5, 4)
NETWORKS = {
    "mlp": (mlp, FLAT, cross_entropy),
    "relu": (lambda: mlp(nn.ReLU), FLAT, cross_entropy),
    "dead relu": (dead, FLAT, cross_entropy),
    "squares": (mlp, FLAT, squares),
    "negative": (mlp, FLAT, concave),
    "cnn": (cnn, IMAGES, cross_entropy),
    "negative cnn": (cnn, IMAGES, concave),
    "lstm": (lambda: Sequence(nn.LSTM(4, 5, batch_first=True), 5, 3), SEQUENCES, cross_entropy),
    "transformer": (transformer, SEQUENCES, cross_entropy),
    "negative transformer": (transformer, SEQUENCES, concave),
    "unused": (Unused, FLAT, cross_entropy),
}


def problem(name):
    """A network in evaluation mode, its loss, two batches of different sizes with weights, and all examples."""
    make, shape, loss = NETWORKS[name]
    torch.manual_seed(len(name))
    model = make().double().eval()
    x, y = torch.randn(50, *shape, dtype=F64), torch.randint(3, (50,))
    return model, loss, weighted([(x[:20], y[:20]), (x[20:], y[20:])], lambda batch: len(batch[1])), (x, y)


def dense_hessian(model, loss, batch):
    """Row by row, of all examples at once."""
    names = [name for name, _ in model.named_parameters()]
    shapes = [p.shape for p in model.parameters()]
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])

    def value(theta):
        parts = theta.split([shape.numel() for shape in shapes])
        given = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        return loss(lambda x: torch.func.functional_call(model, given, (x,)), batch)

    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        return torch.autograd.functional.hessian(value, flat)


class Quadratic(nn.Module):
    """θ, of which a loss is made."""

    def __init__(self, n):
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(n, dtype=F64))


def quadratic(matrix):
    """The Hessian of ½ θᵀAθ."""
    matrix = torch.as_tensor(matrix, dtype=F64)
    return Hessian(Quadratic(len(matrix)), lambda m, a: 0.5 * m.theta @ (a @ m.theta), [(matrix, 1.0)])
