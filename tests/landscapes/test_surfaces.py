"""The surfaces against the same formulas in NumPy, their gradients against differences, their minima against SciPy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize, rosen

from cmbench.errors import UserError
from cmbench.landscapes.surfaces import SURFACES, Surface, get_surface


def ackley(x):
    d = len(x)
    first = -20 * math.exp(-0.2 * math.sqrt(sum(v * v for v in x) / d))
    return first - math.exp(sum(math.cos(2 * math.pi * v) for v in x) / d) + math.e + 20


def goldstein_price(x):
    x, y = x
    a = 1 + (x + y + 1) ** 2 * (19 - 14 * x + 3 * x * x - 14 * y + 6 * x * y + 3 * y * y)
    b = 30 + (2 * x - 3 * y) ** 2 * (18 - 32 * x + 12 * x * x + 48 * y - 36 * x * y + 27 * y * y)
    return (math.log(a) + math.log(b) - 8.693) / 2.427


def levy(x):
    w = [1 + (v - 1) / 4 for v in x]
    total = math.sin(math.pi * w[0]) ** 2
    for v in w[:-1]:
        total += (v - 1) ** 2 * (1 + 10 * math.sin(math.pi * v + 1) ** 2)
    return total + (w[-1] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[-1]) ** 2)


def ackley_rosenbrock(x):
    x, y = x
    wave = math.exp(0.5 * (math.cos(2 * math.pi * x) + math.cos(2 * math.pi * y)))
    dents = math.exp(-0.2 * math.sqrt(0.5 * (x * x + y * y))) - wave + math.e
    return 0.05 * (1 - x) ** 2 + 0.05 * (y - x * x) ** 2 + 0.6 * dents


def sharp_flat(x):
    return sum(min(v * v, 7 * (v - 1) ** 2) for v in x)


def quadratic(x):
    return 0.5 * sum(h * v * v for h, v in zip((1, 3, 0.5), x, strict=True))


def rastrigin(x):
    return 10 * len(x) + sum(v * v - 10 * math.cos(2 * math.pi * v) for v in x)


def styblinski_tang(x):
    return sum(v**4 - 16 * v**2 + 5 * v for v in x) / 2


def griewank(x):
    product = math.prod(math.cos(v / math.sqrt(d)) for d, v in enumerate(x, 1))
    return sum(v * v for v in x) / 4000 - product + 1


def schaffer_2(x):
    x, y = x
    return 0.5 + (math.sin(x * x - y * y) ** 2 - 0.5) / (1 + 0.001 * (x * x + y * y)) ** 2


def himmelblau(x):
    x, y = x
    return (x * x + y - 11) ** 2 + (x + y * y - 7) ** 2


PLAIN = {f.__name__: f for f in (ackley, goldstein_price, levy, ackley_rosenbrock, sharp_flat, quadratic)}
PLAIN |= {f.__name__: f for f in (rastrigin, styblinski_tang, griewank, schaffer_2, himmelblau)}
PLAIN["rosenbrock"] = rosen
PARAMETERS = {"sharpness": 7.0, "spectrum": torch.tensor([1, 3, 0.5], dtype=torch.float64)}


def bound(surface):
    return lambda x: surface.function(x, **{name: PARAMETERS[name] for name in surface.parameters})


@pytest.fixture(params=SURFACES.values(), ids=SURFACES)
def surface(request):
    return request.param


def points(surface, count=200, dim=None):
    low, high = surface.domain
    return np.random.default_rng(1).uniform(low, high, (count, dim or surface.dim or 3))


def test_agrees_with_the_formula_in_plain_python(surface):
    x = points(surface)
    expected = [PLAIN[surface.name](row) for row in x]
    np.testing.assert_allclose(bound(surface)(torch.from_numpy(x)), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["ackley", "levy", "sharp_flat", "rastrigin", "styblinski_tang", "griewank"])
@pytest.mark.parametrize("dim", [1, 2, 10])
def test_has_any_number_of_coordinates(name, dim):
    x = points(SURFACES[name], 20, dim)
    value = bound(SURFACES[name])(torch.from_numpy(x))
    np.testing.assert_allclose(value, [PLAIN[name](row) for row in x], rtol=1e-12)


def test_leading_dimensions_are_independent_points(surface):
    x = torch.from_numpy(points(surface, 24)).reshape(4, 6, -1)
    function = bound(surface)
    one_by_one = torch.stack([torch.stack([function(point) for point in row]) for row in x])
    torch.testing.assert_close(function(x), one_by_one, rtol=0, atol=1e-12)


def test_gradients_agree_with_central_differences(surface):
    x = torch.from_numpy(points(surface, 50)).requires_grad_()
    function = bound(surface)
    function(x).sum().backward()
    step = 1e-6
    for d in range(x.shape[1]):
        move = torch.zeros_like(x)
        move[:, d] = step
        with torch.no_grad():
            slope = (function(x + move) - function(x - move)) / (2 * step)
        torch.testing.assert_close(x.grad[:, d], slope, rtol=1e-5, atol=1e-5)


def test_nothing_in_the_domain_is_lower_than_the_global_minimum(surface):
    dim = surface.dim or 3
    function = bound(surface)
    lowest = float(function(torch.tensor(surface.global_minimum(dim), dtype=torch.float64)))
    for start in points(surface, 40):
        found = minimize(PLAIN[surface.name], start, method="Nelder-Mead", bounds=[surface.domain] * dim)
        assert found.fun >= lowest - 1e-9


def test_known_minima_are_where_scipy_ends_when_it_starts_there(surface):
    x = torch.from_numpy(points(surface, 30))
    nearest = surface.nearest_minimum(x).numpy()
    for point in np.unique(nearest.round(9), axis=0):
        close = np.vstack([point, point + 1e-3 * np.eye(len(point))])
        options = {"xatol": 1e-8, "fatol": 1e-14, "initial_simplex": close}
        found = minimize(PLAIN[surface.name], point, method="Nelder-Mead", options=options)
        np.testing.assert_allclose(found.x, point, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "point", "value"),
    [
        ("ackley", (0, 0), 0),
        ("goldstein_price", (0, -1), (math.log(3) - 8.693) / 2.427),  # A·B is 3 there
        ("goldstein_price", (-0.6, -0.4), (math.log(30) - 8.693) / 2.427),
        ("goldstein_price", (1.8, 0.2), (math.log(84) - 8.693) / 2.427),
        ("goldstein_price", (1.2, 0.8), (math.log(840) - 8.693) / 2.427),
        ("levy", (1, 1), 0),
        ("rastrigin", (0, 0), 0),
        ("rosenbrock", (1, 1), 0),
        ("griewank", (0, 0), 0),
        ("schaffer_2", (0, 0), 0),
        ("himmelblau", (3, 2), 0),
    ],
)
def test_published_minima(name, point, value):
    x = torch.tensor(point, dtype=torch.float64)
    assert float(SURFACES[name].function(x)) == pytest.approx(value, abs=1e-12)
    torch.testing.assert_close(SURFACES[name].nearest_minimum(x[None] + 0.01)[0], x, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "points", "digits"),
    [
        ("himmelblau", [(3, 2), (-2.805118, 3.131312), (-3.779310, -3.283186), (3.584428, -1.848126)], 6),
        ("styblinski_tang", [(-2.903534, -2.903534), (-2.903534, 2.746803), (2.746803, 2.746803)], 6),
        ("rastrigin", [(0.994959, 0), (-1.989912, 0.994959)], 6),  # 1 + 1/(20π² + 1) ≈ of the lattice
        ("griewank", [(3.140023, 4.438445), (6.280046, 0), (-3.140023, 4.438445)], 5),
    ],
)
def test_published_points_are_minima_and_their_own_nearest(name, points, digits):
    x = torch.tensor(points, dtype=torch.float64)
    for offset in (0.0, 0.1, -0.1):
        nearest = SURFACES[name].nearest_minimum(x + offset)
        torch.testing.assert_close(nearest, x, rtol=0, atol=0.5 * 10**-digits + 1e-6)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("rastrigin", -3.2, 3.2),
        ("rosenbrock", -2, 2),
        ("styblinski_tang", -5, 5),
        ("griewank", -30, 30),
        ("griewank", 560, 590),
        ("schaffer_2", -3, 3),
        ("himmelblau", -5, 5),
    ],
)
def test_a_grid_search_finds_the_known_minima_and_no_others(name, low, high):
    """Grid points below their eight neighbours, polished by SciPy: the same set as that of all nearest minima."""
    axis = np.linspace(low, high, 161)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
    values = np.apply_along_axis(PLAIN[name], -1, grid)
    inner = values[1:-1, 1:-1]
    around = [values[1 + i : 160 + i, 1 + j : 160 + j] for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    begins = grid[1:-1, 1:-1][np.all([inner < each for each in around], 0)]
    if name == "rosenbrock":  # along its flat ground a grid has minima of its own
        begins = begins[:3]
    assert len(begins) > 0
    ends = []
    for begin in begins:
        simplex = begin + (axis[1] - axis[0]) * np.array([[0, 0], [1, 0], [0, 1]]) / 2
        options = {"xatol": 1e-7, "fatol": 1e-15, "initial_simplex": simplex}
        ends.append(minimize(PLAIN[name], begin, method="Nelder-Mead", options=options).x)
    ends = np.array(ends)
    nearest = SURFACES[name].nearest_minimum(torch.from_numpy(ends)).numpy()
    np.testing.assert_allclose(ends, nearest, atol=2e-4)
    margin = 2 * (axis[1] - axis[0])
    known = SURFACES[name].nearest_minimum(torch.from_numpy(grid.reshape(-1, 2)[::5])).numpy()
    known = known[((known > low + margin) & (known < high - margin)).all(-1)]
    gaps = np.linalg.norm(known[:, None] - ends, axis=-1).min(1)
    assert gaps.max() < 1e-3, known[gaps.argmax()]


def test_the_gradient_at_ackleys_tip_is_zero_and_not_nan():
    x = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    SURFACES["ackley"].function(x).sum().backward()
    assert x.grad.tolist() == [[0, 0]]


@given(st.lists(st.floats(1.01, 1e3), min_size=1, max_size=5), st.floats(-5, 5))
def test_each_point_may_have_its_own_sharpness(coefficients, x):
    points = torch.full((len(coefficients), 2), x, dtype=torch.float64)
    together = SURFACES["sharp_flat"].function(points, torch.tensor(coefficients, dtype=torch.float64))
    expected = [2 * min(x * x, s * (x - 1) ** 2) for s in coefficients]
    np.testing.assert_allclose(together, expected, rtol=1e-12)


def test_an_unknown_surface_names_the_place_and_the_close_one():
    with pytest.raises(UserError, match="suite mine: surface: unknown surface 'levi': did you mean 'levy'"):
        get_surface("levi", "suite mine: surface")


def test_a_surface_of_ones_own_is_found_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_surfaces.py").write_text(
        "from cmbench.landscapes import Surface\n"
        "def bowl(x):\n    return x.square().sum(-1)\n"
        "BOWL = Surface('bowl', bowl, (-3, 3), dim=4)\n"
        "LIMIT = 3\n"
    )
    function, record = get_surface("my_surfaces:bowl"), get_surface("my_surfaces:BOWL")
    assert (function.domain, record.domain, record.dim) == (None, (-3, 3), 4)
    assert isinstance(record, Surface)
    assert record.name == "my_surfaces:BOWL"
    assert len(record.source) == 64
    assert record.source == function.source
    for name, message in {
        "my_surfaces:LIMIT": "is int",
        "my_surfaces:nothing": "has no 'nothing'",
        "not_there:bowl": "No module named 'not_there'",
    }.items():
        with pytest.raises(UserError, match=message):
            get_surface(name)


@pytest.mark.parametrize(
    ("name", "dim"),
    [(name, dim) for name, s in SURFACES.items() if s.slope for dim in ([s.dim] if s.dim else [1, 2, 3, 10])],
)
def test_values_and_gradients_by_hand_are_those_of_autograd(name, dim):
    surface = SURFACES[name]
    low, high = surface.domain
    generator = torch.Generator().manual_seed(0)
    x = low + (high - low) * torch.rand(500, dim, dtype=torch.float64, generator=generator)
    known = {parameter: torch.linspace(2, 100, 500, dtype=torch.float64) for parameter in surface.parameters}
    value, gradient = surface.slope(x, **known)
    x.requires_grad_()
    expected = surface.function(x, **known)
    (slope,) = torch.autograd.grad(expected.sum(), x)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, slope, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [name for name, surface in SURFACES.items() if surface.slope])
def test_a_gradient_by_hand_is_the_same_whatever_points_stand_beside_it(name):
    surface = SURFACES[name]
    dim = surface.dim or 10
    x = torch.rand(41, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    known = dict.fromkeys(surface.parameters, 5.0)
    value, gradient = surface.slope(x, **known)
    for row in range(41):
        alone, slope = surface.slope(x[[row]], **known)
        assert torch.equal(alone[0], value[row])
        assert torch.equal(slope[0], gradient[row])


def test_the_gradient_by_hand_at_ackleys_tip_is_zero():
    value, gradient = SURFACES["ackley"].slope(torch.zeros(1, 2, dtype=torch.float64))
    assert value.item() == pytest.approx(0, abs=1e-12)
    assert gradient.abs().max() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", [name for name, surface in SURFACES.items() if surface.has_one_lowest])
def test_where_one_point_alone_is_lowest_every_other_minimum_is_higher(name):
    surface = SURFACES[name]
    dim, (low, high) = surface.dim or 2, surface.domain
    known = {"spectrum": torch.ones(dim, dtype=torch.float64)} if surface.parameters else {}
    generator = torch.Generator().manual_seed(0)
    x = low + (high - low) * torch.rand(2000, dim, dtype=torch.float64, generator=generator)
    lowest = torch.tensor(surface.global_minimum(dim), dtype=torch.float64)
    near = lowest + torch.randn(2000, dim, dtype=torch.float64, generator=generator)
    nearest = surface.nearest_minimum(torch.cat([x, near]))
    is_elsewhere = (nearest - lowest).norm(dim=-1) > 1e-3
    other = surface.function(nearest[is_elsewhere], **known)
    assert (other > surface.function(lowest[None], **known) + 1e-6).all()
