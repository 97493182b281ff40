"""Scenarios: schema, loader and running of scenario files, one TOML each. Imported as lpm.scenarios."""

if __name__ != "lpm.scenarios":  # a bare import from the checkout root makes a second copy of every class
    raise ImportError("import it as lpm.scenarios")
