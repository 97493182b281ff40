"""scenarios: see the top-level folder of this name; imported as lpm.scenarios."""

if __name__ != "lpm.scenarios":  # a bare `import scenarios` from the checkout root would make a second copy of every class
    raise ImportError("import it as lpm.scenarios")
