"""Calibration: any simulation as a function of its parameters. Imported as lpm.calibration.

A `Space` holds priors, an `Observation` the data, and a `Problem` joins both with a simulator. `fit` finds parameters,
`posterior` says how sure they are, `diagnose` and `gradcheck` say whether that can be believed.
"""

if __name__ != "lpm.calibration":  # a bare import from the checkout root makes a second copy of every class
    raise ImportError("import it as lpm.calibration")
