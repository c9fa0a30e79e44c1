"""The whole detector: where faces are, the fit with its parts and hypotheses, and whether the result is a face."""
