"""Analytic surfaces and what optimizers do on them: the lane runner, escape ratios, convergence rates."""
