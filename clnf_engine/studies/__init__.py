"""Many faces × many ways to fit: what is planned, run, kept, compared and told."""
