"""Tests of sweeps: what is made of the files, against closed forms and formulas in place of simulations."""
