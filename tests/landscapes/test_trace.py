"""What a traced step adds up, against Eq. 3 to 6 computed by hand."""

import torch

from cmbench.landscapes.lanes import run_lanes
from cmbench.landscapes.trace import Trace

STARTS = torch.tensor([[1.0, 2.0], [-3.0, 0.5]], dtype=torch.float64)


def bowl(x):
    return 0.5 * x.square().sum(-1)


def test_entries_are_the_gradients_or_momenta_of_the_steps_before():
    settings = {"lr": 0.1, "betas": (0.5, 0.9), "capacity": 4, "decay": 0.9}
    for name in ("adam_cg", "adam_cm"):
        lanes = run_lanes(bowl, STARTS, name, settings, 3, records=3, trace=(1, 3))
        gradients = lanes.positions[:3]  # of a bowl the gradient is the position
        stored = [gradients[0]]
        if name == "adam_cm":
            stored = [0.5 * gradients[0]]
            stored += [0.5 * stored[0] + 0.5 * gradients[1]]
            new = 0.5 * stored[1] + 0.5 * gradients[2]
        else:
            stored += [gradients[1]]
            new = gradients[2]
        first, third = lanes.traces
        assert not first.filled.any()
        assert third.filled.sum(0).tolist() == [2, 2]
        torch.testing.assert_close(third.new, new)
        torch.testing.assert_close(third.mean, (stored[0] + stored[1]) / 2)
        assert torch.equal(third.position, lanes.positions[2])


def test_cancellation_is_0_for_one_direction_and_1_for_opposite_ones():
    entries = torch.tensor([[[2.0, 0.0], [2.0, 0.0]], [[4.0, 0.0], [4.0, 0.0]]])
    new = torch.tensor([[3.0, 0.0], [-3.0, 0.0]])
    trace = Trace(1, torch.zeros(2, 2), entries, torch.ones(2, 2, dtype=torch.bool), new)
    torch.testing.assert_close(trace.cancellation, torch.tensor([0.0, 1.0]))
