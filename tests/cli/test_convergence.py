"""`cmbench convergence` as a user runs it."""

NUMBERS = ("--set", "condition_numbers=[1, 100]")


def test_prints_rates_beside_the_known_optimum_and_draws_them(cmbench):
    done = cmbench("convergence", *NUMBERS, "--plot", "rates.svg")
    assert "0.81818" in done.stdout  # (10 − 1)/(10 + 1)
    assert "convergence C=5, β=0.9: " in done.stderr
    assert "convergence C=0, β optimised: " in done.stderr
    assert "figure: rates.svg" in done.stderr
    assert cmbench.files("rates.svg")
    assert len(cmbench.results()) == 4


def test_capacities_are_a_list(cmbench):
    cmbench("convergence", *NUMBERS, "--capacity", "2,3", "--set", "beta=[0.9]", "--quiet")
    assert [result["settings"]["capacity"] for result in cmbench.results()] in ([2, 3], [3, 2])
    done = cmbench("convergence", "--capacity", "two", code=2)
    assert "--capacity 'two': accepted: whole numbers" in done.stderr
