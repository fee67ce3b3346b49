"""The probes in the places where training happens: batch normalisation, clipping, accumulation, mixed precision."""

import copy
import warnings

import pytest
import torch
from torch import nn

from cmbench.optim import MEG, SAM, AdamCM, create_optimizer, get_info, list_optimizers
from cmbench.optim.memory_over import MemoryOver

PROBED = [name for name in list_optimizers() if get_info(name).probe]


@pytest.fixture
def data():
    torch.manual_seed(0)
    return torch.randn(32, 6), torch.randn(32, 1)


def smooth_network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))


def closure_for(optimizer, model, x, y, clip=None):
    def closure():
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        return loss

    return closure


@pytest.mark.parametrize("name", PROBED)
def test_batch_statistics_move_once_per_step(name, data):
    model, once = network(), network()
    optimizer = create_optimizer(name, model.parameters())
    optimizer.step(closure_for(optimizer, model, *data))
    once(data[0])
    assert model[1].num_batches_tracked == 1
    torch.testing.assert_close(model[1].running_mean, once[1].running_mean)
    assert model[1].track_running_stats


@pytest.mark.parametrize("name", PROBED)
def test_the_parameters_return_bit_for_bit_before_the_step(name, data):
    model = network()
    optimizer = create_optimizer(name, model.parameters(), lr=0.0)
    before = [p.detach().clone() for p in model.parameters()]
    for _ in range(3):
        optimizer.step(closure_for(optimizer, model, *data))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("wrap", [lambda base: SAM(base, rho=0.1), lambda base: MEG(base, gamma=0.1)])
@pytest.mark.parametrize("base", [torch.optim.RMSprop, torch.optim.Adagrad, AdamCM])
def test_they_wrap_any_optimizer_and_hand_it_the_gradient_at_the_probe_point(wrap, base, data):
    model, by_hand = smooth_network(), smooth_network()
    optimizer = wrap(base(model.parameters(), lr=1e-2))
    reference = base(by_hand.parameters(), lr=1e-2)
    for _ in range(4):
        optimizer.step(closure_for(optimizer, model, *data))
        closure_for(reference, by_hand, *data)()
        params = list(by_hand.parameters())
        norm = torch.sqrt(sum((p.grad**2).sum() for p in params))
        scale = 0.1 / norm if isinstance(optimizer, SAM) else -0.1
        kept = [p.detach().clone() for p in params]
        with torch.no_grad():
            for p in params:
                p.add_(p.grad, alpha=float(scale))
        closure_for(reference, by_hand, *data)()
        with torch.no_grad():
            for p, k in zip(params, kept, strict=True):
                p.copy_(k)
        reference.step()
    torch.testing.assert_close(list(model.parameters()), list(by_hand.parameters()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", PROBED)
def test_accumulated_micro_batches_are_the_whole_batch(name, data):
    results = []
    for pieces in (1, 4):
        model = smooth_network()
        optimizer = create_optimizer(name, model.parameters(), lr=1e-2)

        def closure(model=model, optimizer=optimizer, pieces=pieces):
            optimizer.zero_grad()
            total = 0.0
            for x, y in zip(data[0].chunk(pieces), data[1].chunk(pieces), strict=True):
                loss = nn.functional.mse_loss(model(x), y) / pieces
                loss.backward()
                total += loss.detach()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            return total

        for _ in range(5):
            optimizer.step(closure)
        results.append(list(model.parameters()))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", PROBED)
def test_bfloat16_autocast_needs_nothing(name, data):
    model = network()
    optimizer = create_optimizer(name, model.parameters(), lr=1e-2)

    def closure():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = nn.functional.mse_loss(model(data[0]), data[1])
        loss.backward()
        return loss

    first = optimizer.step(closure).item()
    for _ in range(30):
        last = optimizer.step(closure).item()
    assert last < first


@pytest.mark.parametrize("name", PROBED)
def test_a_gradient_scaler_changes_nothing_but_the_scale(name, data):
    results = []
    for scaled in (False, True):
        model = network()
        optimizer = create_optimizer(name, model.parameters(), lr=1e-2)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, enabled=scaled)

        def closure(model=model, optimizer=optimizer, scaler=scaler):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(data[0]), data[1])
            scaler.scale(loss).backward()
            return loss

        for _ in range(6):
            optimizer.step(closure, scaler=scaler)
            scaler.update()
        results.append(list(model.parameters()))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", PROBED)
@pytest.mark.parametrize("overflow_at", [1, 2])
def test_a_step_whose_gradient_overflows_is_skipped_at_either_evaluation(name, overflow_at, data):
    model = network()
    optimizer = create_optimizer(name, model.parameters(), lr=1e-2)
    scaler, evaluations = torch.amp.GradScaler("cpu", init_scale=2.0**10), []

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(data[0]), data[1])
        scaler.scale(loss).backward()
        evaluations.append(loss)
        if len(evaluations) == overflow_at:
            next(model.parameters()).grad.view(-1)[0] = torch.inf
        return loss

    before = [p.detach().clone() for p in model.parameters()]
    optimizer.step(closure, scaler=scaler)
    scaler.update()
    assert scaler.get_scale() == 2.0**9
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert model[1].running_mean.isfinite().all()
    optimizer.step(closure, scaler=scaler)
    scaler.update()
    assert scaler.get_scale() == 2.0**9
    assert not all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_optimizers_without_a_probe_are_stepped_by_the_scaler(data):
    model = network()
    optimizer = AdamCM(model.parameters(), lr=1e-2)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    for bad in (False, True, False):
        optimizer.zero_grad()
        scaler.scale(nn.functional.mse_loss(model(data[0]), data[1])).backward()
        if bad:
            next(model.parameters()).grad.fill_(torch.inf)
        scaler.step(optimizer)
        scaler.update()
    assert all(p.isfinite().all() for p in model.parameters())
    assert optimizer.state_dict()["state"][0]["accepted"] == 2


@pytest.mark.parametrize("base", [AdamCM, torch.optim.RMSprop])
@pytest.mark.parametrize(("kind", "settings"), [(SAM, {"rho": 0.1}), (MEG, {"gamma": 0.1})])
def test_a_probe_makes_its_optimizer_of_parameters_and_a_class(kind, settings, base, data):
    models = [network() for _ in range(4)]
    (length,) = settings.values()
    optimizers = [
        kind(base(models[0].parameters(), lr=1e-2, weight_decay=0.1), **settings),
        kind(models[1].parameters(), base, **settings, lr=1e-2, weight_decay=0.1),
        kind([{"params": models[2].parameters(), **settings}], base_optimizer=base, lr=1e-2, weight_decay=0.1),
        kind(base(models[3].parameters(), lr=1e-2, weight_decay=0.1), length),
    ]
    for optimizer, model in zip(optimizers, models, strict=True):
        for _ in range(3):
            optimizer.step(closure_for(optimizer, model, *data))
    for model in models[1:]:
        assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), model.parameters(), strict=True))


def test_an_optimizer_that_sam_makes_decides_by_its_scope():
    optimizer = SAM(network().parameters(), AdamCM, scope="per_tensor", capacity=2)
    assert (optimizer._scope, optimizer.base.defaults["scope"], optimizer.base.defaults["capacity"]) == (
        "per_tensor", "per_tensor", 2,
    )  # fmt: skip
    assert SAM(network().parameters(), torch.optim.Adam, scope="per_tensor")._scope == "per_tensor"


def test_a_probe_says_what_it_is_made_of():
    model = network()
    for refused, message in (
        (lambda: SAM(model.parameters()), "invalid base"),
        (lambda: SAM(AdamCM(model.parameters()), AdamCM), "accepted: with parameters"),
        (lambda: MEG(AdamCM(model.parameters()), lr=1e-3), "MEG has no hyperparameter lr"),
        (lambda: SAM(model.parameters(), "adam"), "invalid base_optimizer: 'adam'"),
        (lambda: SAM(model.parameters(), nn.Linear), "unexpected|missing"),
    ):
        with pytest.raises(TypeError, match=message):
            refused()
    with pytest.raises(ValueError, match="adaptive"):
        SAM(model.parameters(), AdamCM, adaptive=True)


@pytest.mark.parametrize("zeroed_by", ["first_step", "hand"])
@pytest.mark.parametrize("last", ["second_step", "step"])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("name", PROBED)
def test_two_steps_without_a_closure_are_one_with_it_bit_for_bit(name, scaled, last, zeroed_by, data):
    models = network(), network()
    optimizers = [create_optimizer(name, model.parameters(), lr=1e-2) for model in models]
    scalers = [torch.amp.GradScaler("cpu", init_scale=2.0**10) if scaled else None for _ in models]

    def evaluate(which):
        loss = nn.functional.mse_loss(models[which](data[0]), data[1])
        (scalers[which].scale(loss) if scaled else loss).backward()
        return loss

    def closure():
        optimizers[0].zero_grad()
        return evaluate(0)

    for _ in range(4):
        optimizers[0].step(closure, scaler=scalers[0])
        evaluate(1)
        optimizers[1].first_step(zero_grad=zeroed_by == "first_step", scaler=scalers[1])
        if zeroed_by == "hand":
            optimizers[1].zero_grad()
        evaluate(1)
        if last == "step":
            optimizers[1].step(scaler=scalers[1])
            optimizers[1].zero_grad()
        else:
            optimizers[1].second_step(zero_grad=True, scaler=scalers[1])
        assert all(p.grad is None for p in models[1].parameters())
        for scaler in filter(None, scalers):
            scaler.update()
    for a, b in zip(models[0].state_dict().values(), models[1].state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert models[1][1].num_batches_tracked == 4


@pytest.mark.parametrize("kind", [SAM, MEG])
def test_the_two_steps_are_refused_out_of_order(kind, data):
    model = network()
    optimizer = kind(model.parameters(), AdamCM)
    before = [p.detach().clone() for p in model.parameters()]
    for early in (optimizer.second_step, optimizer.step_back):
        with pytest.raises(RuntimeError, match="first_step comes before"):
            early()
    closure_for(optimizer, model, *data)()
    optimizer.first_step()
    assert not all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    for late in (optimizer.first_step, lambda: optimizer.step(closure_for(optimizer, model, *data))):
        with pytest.raises(RuntimeError, match="second_step comes next"):
            late()
    with pytest.raises(RuntimeError, match="copied between"):
        copy.deepcopy(optimizer)
    optimizer.step_back()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert model[1].track_running_stats
    optimizer.step(closure_for(optimizer, model, *data))


def test_a_schedule_sees_the_steps_that_are_made_in_two(data):
    model = network()
    optimizer = SAM(model.parameters(), AdamCM, lr=1e-2)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            closure_for(optimizer, model, *data)()
            optimizer.first_step(zero_grad=True)
            closure_for(optimizer, model, *data)()
            optimizer.second_step(zero_grad=True)
            schedule.step()


@pytest.mark.parametrize("name", PROBED)
@pytest.mark.parametrize("at", [1, 2])
def test_a_closure_that_raises_leaves_the_parameters_where_they_were(name, at, data):
    model, calls = network(), []
    optimizer = create_optimizer(name, model.parameters())
    before = [p.detach().clone() for p in model.parameters()]

    def closure():
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return closure_for(optimizer, model, *data)()

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    optimizer.step(closure)


def test_the_length_of_the_step_is_given_once_by_position():
    assert SAM(AdamCM(network().parameters()), 0.2).param_groups[0]["rho"] == 0.2
    for twice in (
        lambda base: SAM(base, 0.1, 0.3),
        lambda base: SAM(base, 0.1, "global"),
        lambda base: SAM(base, 0.1, rho=0.05),
        lambda base: MEG(base, 0.1, gamma=0.5),
    ):
        with pytest.raises(TypeError, match=r"(rho|gamma) is given twice: 0\.1 and "):
            twice(AdamCM(network().parameters()))
    assert SAM(AdamCM(network().parameters())).param_groups[0]["rho"] == 0.05
    assert MEG(AdamCM(network().parameters())).param_groups[0]["gamma"] == 0.01


@pytest.mark.parametrize("made_here", [True, False])
@pytest.mark.parametrize(
    "base",
    [AdamCM, lambda params, **policy: MemoryOver(torch.optim.NAdam(params), **policy)],
    ids=["Adam+CM", "NAdam+CG"],
)
def test_sam_follows_the_scope_that_its_base_has_loaded(base, made_here, data):
    def trained(loaded_with):
        model = network()
        saved = SAM(base(model.parameters(), scope="per_tensor"))
        saved.step(closure_for(saved, model, *data))
        params, policy = model.parameters(), {"scope": loaded_with}
        optimizer = SAM(params, base, **policy) if made_here and base is AdamCM else SAM(base(params, **policy))
        optimizer.load_state_dict(saved.state_dict())
        optimizer.step(closure_for(optimizer, model, *data))
        return list(model.parameters())

    assert all(torch.equal(a, b) for a, b in zip(trained("per_tensor"), trained("global"), strict=True))


def test_a_scope_that_sam_is_given_stays(data):
    model = network()
    optimizer = SAM(AdamCM(model.parameters(), scope="per_tensor"), scope="global")
    optimizer.load_state_dict(copy.deepcopy(optimizer).state_dict())
    optimizer.step(closure_for(optimizer, model, *data))
    assert (optimizer._scope, copy.deepcopy(optimizer)._scope) == ("global", "global")
