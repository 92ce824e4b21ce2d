"""The tests, by level: unit, contract, integration, e2e, torture."""
