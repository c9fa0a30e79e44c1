"""Functions of a user's own in the place of operations: a Python file of them, and the process in which it runs."""
