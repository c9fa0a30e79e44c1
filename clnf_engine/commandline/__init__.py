"""The ``clnf`` command: its arguments, what it prints on the terminal, its exit codes. Reference: ``docs/cli.md``.

NumPy, OpenCV and SciPy are imported inside the functions that need them, so that ``--help`` answers at once.
"""
