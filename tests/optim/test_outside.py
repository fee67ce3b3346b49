"""Optimizers that are not registered: what they can be told, and memories and companions over them, computed anew."""

import copy
import io

import numpy as np
import pytest
import torch

from cmbench.optim import create_optimizer
from cmbench.optim.errors import UnfitOptimizer
from cmbench.optim.memory_over import MemoryOver, decay_of_mean
from cmbench.optim.outside import Outside, accepts_closure
from cmbench.optim.split import Split
from cmbench.optim.wrapper import layers, switch


def outside(name):
    return Outside(f"torch.optim:{name}", getattr(torch.optim, name))


def built(name, params, companion=None, **given):
    own = outside(name)
    return own.build([{"params": params}], own.resolve(given), companion)


def train(optimizer, params, problem, closure_at, steps=25):
    for t in range(steps):
        optimizer.step(closure_at(optimizer, t))
    return [p.detach().clone() for p in params]


@pytest.mark.parametrize(
    ("name", "registered", "hyperparameters"),
    [
        ("AdamW", "adam_cg", {"lr": 0.02, "weight_decay": 0.1, "betas": (0.8, 0.95)}),
        ("SGD", "sgd_cg", {"lr": 0.02, "momentum": 0.9}),
        ("RMSprop", "rmsprop_cg", {"lr": 0.01, "momentum": 0.5}),
    ],
)
@pytest.mark.parametrize("policy", [{}, {"capacity": 2, "decay": 0.99, "priority": "fifo"}, {"scope": "per_tensor"}])
@pytest.mark.parametrize("probe", [None, "sam"])
def test_critical_gradients_over_torchs_optimizers_are_the_registered_ones(
    name, registered, hyperparameters, policy, probe, problem, closure_for
):
    results = []
    for who in ("outside", "registered"):
        params, closure_at = closure_for(problem)
        if who == "outside":
            extra = {"probe": probe} if probe else {}
            optimizer = built(name, params, memory="cg", **hyperparameters, **policy, **extra)
        else:
            full = registered.replace("_cg", f"_{probe}_cg") if probe else registered
            optimizer = create_optimizer(full, params, **hyperparameters, **policy)
        results.append(train(optimizer, params, problem, closure_at))
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)


def test_critical_momenta_over_nadam_as_computed_by_hand():
    """m and the buffer in numpy, then NAdam's formula (Dozat 2016) with a = m + mean for its first moment."""
    rng = np.random.default_rng(3)
    gradients = rng.normal(size=(30, 4))
    lr, (b1, b2), eps, psi, capacity, decay = 0.01, (0.9, 0.99), 1e-8, 0.004, 3, 0.8
    param = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = built(
        "NAdam", [param], memory="cm", lr=lr, betas=(b1, b2), momentum_decay=psi, capacity=capacity, decay=decay
    )
    theta, m, v, product, buffer = np.zeros(4), np.zeros(4), np.zeros(4), 1.0, []
    for t, g in enumerate(gradients, 1):
        param.grad = torch.tensor(g)
        optimizer.step()
        m = b1 * m + (1 - b1) * g
        a = m + (np.mean([entry for _, entry in buffer], axis=0) if buffer else 0)
        norm = np.linalg.norm(g)
        if len(buffer) < capacity:
            buffer.append([norm, m])
        else:
            lowest = min(range(capacity), key=lambda k: buffer[k][0])
            if norm > buffer[lowest][0]:
                buffer[lowest] = [norm, m]
        buffer = [[priority * decay, entry] for priority, entry in buffer]
        v = b2 * v + (1 - b2) * g**2
        mu = b1 * (1 - 0.5 * 0.96 ** (t * psi))
        following = b1 * (1 - 0.5 * 0.96 ** ((t + 1) * psi))
        product *= mu
        deviation = np.sqrt(v / (1 - b2**t)) + eps
        theta -= lr * ((1 - mu) / (1 - product) * g + following / (1 - product * following) * a) / deviation
    np.testing.assert_allclose(param.detach().numpy(), theta, rtol=1e-4)


def test_the_decay_rate_of_a_mean_is_found():
    assert decay_of_mean(lambda params: torch.optim.AdamW(params, betas=(0.83, 0.99))) == pytest.approx(0.83, abs=1e-4)
    assert decay_of_mean(lambda params: torch.optim.NAdam(params, weight_decay=0.1)) == pytest.approx(0.9, abs=1e-4)
    assert decay_of_mean(lambda params: torch.optim.SGD(params, momentum=0.9)) is None
    assert decay_of_mean(torch.optim.Adagrad) is None


def test_a_memory_that_needs_a_mean_says_so():
    with pytest.raises(ValueError, match=r"torch\.optim:SGD keeps no mean of gradients .*accepted: memory cg"):
        built("SGD", [torch.zeros(2, requires_grad=True)], memory="cm")


@pytest.mark.parametrize("given", [{"memory": "cg"}, {"memory": "cm"}, {"memory": "cm", "probe": "sam"}], ids=str)
@pytest.mark.parametrize("way", ["state_dict", "pickle", "deepcopy"])
def test_it_goes_on_bit_for_bit_after_a_round_trip(given, way, problem, closure_for):
    params, closure_at = closure_for(problem, torch.float32)
    optimizer = built("NAdam", params, **given)
    train(optimizer, params, problem, closure_at, 10)
    if way == "state_dict":
        copied = [p.detach().clone().requires_grad_() for p in params]
        again = built("NAdam", copied, **given)
        file = io.BytesIO()
        torch.save(optimizer.state_dict(), file)
        file.seek(0)
        again.load_state_dict(torch.load(file, weights_only=True))
    else:
        file = io.BytesIO()
        if way == "pickle":
            torch.save(optimizer, file)
            file.seek(0)
            again = torch.load(file, weights_only=False)
        else:
            again = copy.deepcopy(optimizer)
        copied = again.param_groups[0]["params"]
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        for one, other in zip(params, copied, strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        for each in (optimizer, again):
            next(layer for layer in layers(each) if isinstance(layer, MemoryOver)).step()
    for one, other in zip(params, copied, strict=True):
        assert torch.equal(one, other)


def test_the_gradients_are_left_as_they_were():
    param = torch.zeros(3, requires_grad=True)
    optimizer = built("AdamW", [param], memory="cg")
    for value in (1.0, 2.0, 3.0):
        param.grad = gradient = torch.full((3,), value)
        optimizer.step()
        assert param.grad is gradient
        assert torch.equal(gradient, torch.full((3,), value))


def test_a_companion_gets_what_the_optimizer_does_not_take():
    torch.manual_seed(0)
    params = [
        torch.randn(4, 3, requires_grad=True),
        torch.randn(5, requires_grad=True),
        torch.randn(6, 2, requires_grad=True),
    ]
    own = outside("Muon")
    asked = []

    def companion(groups):
        asked.append([name for group in groups for name in group["names"]])
        return torch.optim.AdamW([{"params": group["params"]} for group in groups], lr=0.1)

    group = {"params": params, "names": ["layer.weight", "layer.bias", "embedding.weight"]}
    values = own.resolve({"lr": 0.05, "rest": {"name": "adam", "match": ["Embed"]}})
    optimizer = own.build([group], values, companion)
    assert isinstance(optimizer, Split)
    assert asked == [["layer.bias", "embedding.weight"]]
    copies = [p.detach().clone().requires_grad_() for p in params]
    alone = [torch.optim.Muon(copies[:1], lr=0.05), torch.optim.AdamW(copies[1:], lr=0.1)]
    for step in range(5):
        for i, (one, other) in enumerate(zip(params, copies, strict=True)):
            one.grad = torch.randn(one.shape, generator=torch.Generator().manual_seed(10 * step + i))
            other.grad = one.grad.clone()
        optimizer.step()
        for each in alone:
            each.step()
        if step == 2:
            saved = copy.deepcopy(optimizer.state_dict())
            optimizer.load_state_dict(saved)
    for one, other in zip(params, copies, strict=True):
        assert torch.equal(one, other)
    with pytest.raises(UnfitOptimizer, match=r"does not take parameters of 1 dimensions: .*rest: \{name: adam"):
        own.build([group], own.resolve({}), None)


class Free(torch.optim.SGD):
    """Told when it trains and when it is evaluated."""

    def __init__(self, params, lr=1e-3, warm=3, **kwargs):
        super().__init__(params, lr=lr, **kwargs)
        self.heard = []

    def train(self):
        self.heard.append("train")

    def eval(self):
        self.heard.append("eval")


def test_arguments_are_those_of_the_class_and_of_what_it_passes_them_on_to():
    own = Outside("mine:Free", Free)
    values = own.resolve({"momentum": 0.9})
    assert values["lr"] == 1e-3
    assert values["warm"] == 3
    assert values["momentum"] == 0.9
    assert "foreach" not in values
    with pytest.raises(ValueError, match="mine:Free has no hyperparameter 'momentom': did you mean 'momentum'"):
        own.resolve({"momentom": 0.9})


class Whole(Free):
    """Has whole numbers for defaults, with and without saying what it takes."""

    def __init__(self, params, weight_decay=0, power: "float" = 2, rounds: int = 3, sizes=(1, 2)):
        super().__init__(params)


def test_one_and_one_point_zero_are_one_setting_where_an_argument_is_a_real_number():
    own, sgd = Outside("mine:Whole", Whole), outside("SGD")
    for name, value in (("weight_decay", 0), ("power", 2), ("weight_decay", 1)):
        assert repr(own.resolve({name: value})) == repr(own.resolve({name: float(value)}))
    assert repr(own.resolve({})) == repr(own.resolve({"weight_decay": 0, "power": 2.0, "rounds": 3}))
    assert repr(sgd.resolve({})) == repr(sgd.resolve({"momentum": 0.0, "weight_decay": 0, "dampening": 0}))
    assert repr(own.resolve({"rounds": 4, "sizes": [1, 2]})["rounds"]) == "4"


def test_train_and_eval_reach_the_innermost_optimizer():
    own = Outside("mine:Free", Free)
    optimizer = own.build(
        [{"params": [torch.zeros(2, requires_grad=True)]}], own.resolve({"probe": "sam", "memory": "cg"}), None
    )
    switch(optimizer, "eval")
    switch(optimizer, "train")
    assert list(layers(optimizer))[-1].heard == ["eval", "train"]


def test_what_is_no_optimizer_is_refused():
    with pytest.raises(ValueError, match="it is the class Linear: accepted: a class derived from"):
        Outside("torch.nn:Linear", torch.nn.Linear)
    with pytest.raises(ValueError, match="it is function"):
        Outside("mine:make", outside)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("NAdam", {"lr": "fast"}, "invalid lr: 'fast'"),
        ("NAdam", {"probe": "sum"}, "invalid probe: 'sum' .accepted: sam, meg"),
        ("NAdam", {"memory": "cg", "capacity": -1}, "invalid capacity: -1"),
        ("NAdam", {"capacity": 5}, "has no hyperparameter 'capacity'"),
        ("NAdam", {"rest": "adam"}, "invalid rest: 'adam'"),
        ("Adadelta", {"probe": "sam"}, "SAM: has rho, and so has torch.optim:Adadelta"),
        ("LBFGS", {"memory": "cg"}, "accepted: with a step that needs neither closure"),
    ],
)
def test_what_it_cannot_be_told_is_refused(name, given, message):
    with pytest.raises(ValueError, match=message):
        outside(name).resolve(given)


def test_what_a_step_wants_is_read_off_its_signature():
    class Bare(torch.optim.SGD):
        def step(self):
            return super().step()

    param = [torch.zeros(1, requires_grad=True)]
    assert outside("LBFGS").needs_closure
    assert not outside("NAdam").needs_closure
    assert accepts_closure(torch.optim.NAdam(param))
    assert not accepts_closure(Bare(param))


class Strict(Free):
    """Takes any argument, and refuses most."""

    def __init__(self, params, lr=1e-3, **kwargs):
        if unknown := kwargs.keys() - {"momentum"}:
            raise TypeError(f"unknown: {unknown}")
        super().__init__(params, lr=lr, **kwargs)


def test_an_argument_that_is_not_let_through_to_the_base_is_none():
    own = Outside("mine:Strict", Strict)
    assert own.resolve({}) == {"lr": 1e-3, "momentum": 0}
    with pytest.raises(ValueError, match="mine:Strict has no hyperparameter 'warm'"):
        own.resolve({"warm": 2})


def test_a_companion_never_takes_the_optimizers_place():
    own = outside("Muon")
    params = [torch.zeros(2, 2, requires_grad=True), torch.zeros(2, requires_grad=True)]

    def built_with(count, **given):
        group = {"params": params[:count], "names": ["a.weight", "b.bias"][:count]}
        return own.build([group], own.resolve(given), lambda groups: torch.optim.AdamW(groups))

    with pytest.raises(ValueError, match="Learning rate should be >= 0"):
        built_with(2, lr=-1.0, rest={"name": "adam"})
    with pytest.raises(UnfitOptimizer, match=r"Muon: its companion's match, A\.weight, leaves it no parameter"):
        built_with(1, rest={"name": "adam", "match": ["A.weight"]})
