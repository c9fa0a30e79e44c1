"""Recorders: one file each, to be copied into a port of CLNF; see ``docs/recorders.md``."""
