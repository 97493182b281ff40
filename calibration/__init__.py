"""Calibration: any simulation as a function of its parameters. Imported as lpm.calibration."""

if __name__ != "lpm.calibration":  # a bare import from the checkout root makes a second copy of every class
    raise ImportError("import it as lpm.calibration")
