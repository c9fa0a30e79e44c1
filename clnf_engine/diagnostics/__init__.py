"""Answers about a fit: pure functions of Steps, Traces and Models. They read what the optimizer's own path computed."""
