"""The check of a trace, also of another program's: every operation recomputed from the trace's own inputs."""
