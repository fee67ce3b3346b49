"""Analytic surfaces, the lane runner that advances many runs at once, escape ratios and convergence rates."""

from cmbench.landscapes.cells import run_suite
from cmbench.landscapes.lanes import Lanes, run_lanes, start_points
from cmbench.landscapes.surfaces import SURFACES, Surface, get_surface

__all__ = ["SURFACES", "Lanes", "Surface", "get_surface", "run_lanes", "run_suite", "start_points"]
