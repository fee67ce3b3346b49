"""Second ways of computing every optimizer, in float64 and sharing no code: the equations, and torch's own classes."""

import numpy as np
import torch


class Problem:
    """A nonconvex least-squares problem: a tanh network with three tensors, its gradient by hand.

    `shift` changes the targets from step to step, as minibatches do.
    """

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.x = rng.normal(size=(16, 3))
        self.y = np.sin(2 * self.x.sum(1)) + 0.3 * rng.normal(size=16)
        self.start = [rng.normal(size=(3, 5)), rng.normal(size=5), rng.normal(size=5)]

    def target(self, t):
        return self.y + 0.5 * np.cos(t + np.arange(16))

    def gradient(self, theta, t):
        w, b, u = theta
        h = np.tanh(self.x @ w + b)
        error = (h @ u - self.target(t)) * 2 / 16
        dh = np.outer(error, u) * (1 - h**2)
        return [self.x.T @ dh, dh.sum(0), h.T @ error]


def norm(arrays):
    return float(np.sqrt(sum(float((a**2).sum()) for a in arrays)))


def splitmix64(x):
    """The output for the state `x`, in Python's own integers."""
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


def drawn(step, number):
    """The random priority of an entry: after `step` steps, of the tensor or lane of that number."""
    return ((splitmix64((splitmix64(step) + number) % 2**64) >> 41) + 0.5) / 2**23


class Buffer:
    """The dictionary of Algorithm 1 as a list of [priority, entry, age]."""

    def __init__(self, capacity, decay, priority="gradient", number=0):
        self.capacity, self.decay, self.kind, self.items = capacity, decay, priority, []
        self.number, self.step = number, 0

    def aggregate(self, entry):
        if not self.items:
            return [e.copy() for e in entry]
        return [e + sum(item[1][i] for item in self.items) / len(self.items) for i, e in enumerate(entry)]

    def insert(self, entry, gradient):
        priority = norm(entry if self.kind == "momentum" else gradient)
        if self.kind == "random":
            priority = drawn(self.step, self.number)
        self.step += 1
        new = [priority, [e.copy() for e in entry], 0]
        if len(self.items) < self.capacity:
            self.items.append(new)
        elif self.kind == "fifo":
            self.items.remove(max(self.items, key=lambda item: item[2]))
            self.items.append(new)
        elif self.items:
            lowest = min(range(len(self.items)), key=lambda k: self.items[k][0])
            if priority > self.items[lowest][0]:
                self.items[lowest] = new
        for item in self.items:
            item[0] *= self.decay
            item[2] += 1


def run(name, problem, steps, *, lr=1e-2, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0, momentum=0.0, capacity=5,
        decay=0.7, rho=0.05, gamma=0.01, priority="gradient", per_tensor=False, first_step="paper",
        number=0):  # fmt: skip
    """The parameters after every step of the optimizer called `name`, in lane `number`.

    The `authors`' first step with critical momenta: the gradient enters the buffer, and is in no momentum; of the
    update only Adam's decoupled weight decay is done.
    """
    rule, _, rest = name.partition("_")
    probe, memory = ("sam" in rest) * "sam" or ("meg" in rest) * "meg", ("cg" in rest) * "cg" or ("cm" in rest) * "cm"
    if rule == "adam" and capacity == 0:
        memory = ""
    theta = [a.copy() for a in problem.start]
    count = len(theta)
    groups = [[i] for i in range(count)] if per_tensor else [list(range(count))]
    buffers = [Buffer(capacity if memory else 0, decay, priority, number + i) for i in range(len(groups))]
    m = [np.zeros_like(a) for a in theta]
    v = [np.zeros_like(a) for a in theta]
    beta1, beta2 = betas
    path = []
    for t in range(1, steps + 1):
        g = problem.gradient(theta, t)
        if probe == "sam":
            scale = {i: rho / norm([g[j] for j in group]) for group in groups for i in group}
            g = problem.gradient([a + scale[i] * b for i, (a, b) in enumerate(zip(theta, g, strict=True))], t)
        elif probe == "meg":
            g = problem.gradient([a - gamma * b for a, b in zip(theta, g, strict=True)], t)
        if rule == "sgd":
            g = [b + weight_decay * a for a, b in zip(theta, g, strict=True)]
        if memory == "cm" and first_step == "authors" and t == 1:
            for group, buffer in zip(groups, buffers, strict=True):
                buffer.insert([g[i] for i in group], [g[i] for i in group])
            if rule == "adam":
                theta = [p - lr * weight_decay * p for p in theta]
            path.append([p.copy() for p in theta])
            continue
        if memory == "cm":
            beta = beta1 if rule == "adam" else momentum
            m = [beta * a + (1 - beta) * b for a, b in zip(m, g, strict=True)]
        entry = m if memory == "cm" else g
        a = [None] * count
        for group, buffer in zip(groups, buffers, strict=True):
            for i, value in zip(group, buffer.aggregate([entry[i] for i in group]), strict=True):
                a[i] = value
            buffer.insert([entry[i] for i in group], [g[i] for i in group])
        if rule == "adam":
            if memory != "cm":
                m = [beta1 * x + (1 - beta1) * y for x, y in zip(m, a, strict=True)]
            v = [beta2 * x + (1 - beta2) * y**2 for x, y in zip(v, a, strict=True)]
            top = a if memory == "cm" else m
            theta = [
                p - lr * weight_decay * p - lr * (d / (1 - beta1**t)) / (np.sqrt(s / (1 - beta2**t)) + eps)
                for p, d, s in zip(theta, top, v, strict=True)
            ]
        else:
            if memory != "cm":
                m = [momentum * x + y for x, y in zip(m, a, strict=True)]
            theta = [p - lr * d for p, d in zip(theta, a if memory == "cm" else m, strict=True)]
        path.append([p.copy() for p in theta])
    return path


def run_by_torch(info, problem, steps, **hyperparameters):
    """The parameters after every step, where torch's class of the rule makes the step.

    It is given the gradient at the probe, with the mean of the buffered gradients added for critical gradients. For
    critical momenta it is given m plus their mean instead, and its own momentum is off; where it would correct the
    bias of that momentum, the learning rate does.
    """
    values = info.defaults | hyperparameters
    memory = info.memory.key if info.memory else ""
    decay_in_gradient = 0.0 if info.rule.decoupled else values["weight_decay"]
    own = {each.name: values[each.name] for each in info.rule.hyperparameters}
    own |= {"weight_decay": values["weight_decay"] if info.rule.decoupled else 0.0}
    beta = values["betas"][0] if "betas" in values else values.get("momentum", 0.0)
    if memory == "cm":
        own |= {"betas": (0.0, values["betas"][1])} if "betas" in own else {"momentum": 0.0}
    params = [torch.tensor(a, requires_grad=True) for a in problem.start]
    made = getattr(torch.optim, info.rule.torch_class)(params, foreach=False, **own)
    capacity, decay = values.get("capacity", 0), values.get("decay", 1.0)
    buffer = Buffer(capacity if memory else 0, decay, values.get("priority", "gradient"))
    m, path = [np.zeros_like(a) for a in problem.start], []
    for t in range(1, steps + 1):
        theta = [p.detach().numpy() for p in params]
        g = problem.gradient(theta, t)
        if info.probe and info.probe.key == "sam":
            g = problem.gradient([a + values["rho"] / norm(g) * b for a, b in zip(theta, g, strict=True)], t)
        elif info.probe:
            g = problem.gradient([a - values["gamma"] * b for a, b in zip(theta, g, strict=True)], t)
        g = [b + decay_in_gradient * a for a, b in zip(theta, g, strict=True)]
        m = [beta * a + (1 - beta) * b for a, b in zip(m, g, strict=True)]
        entry = m if memory == "cm" else g
        for param, a in zip(params, buffer.aggregate(entry), strict=True):
            param.grad = torch.tensor(a)
        if memory:
            buffer.insert(entry, g)
        if memory == "cm" and "betas" in values:
            corrected = {"lr": values["lr"] / (1 - beta**t), "weight_decay": own["weight_decay"] * (1 - beta**t)}
            made.param_groups[0].update(corrected)
        made.step()
        path.append([p.detach().numpy().copy() for p in params])
    return path
