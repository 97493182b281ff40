"""calibration: see the top-level folder of this name; imported as lpm.calibration."""

if __name__ != "lpm.calibration":  # a bare `import calibration` from the checkout root would make a second copy of every class
    raise ImportError("import it as lpm.calibration")
