"""The arithmetic of a fit: plain loops over arrays, named after the mathematics, compiled once per machine.

Each function fills the arrays it is given last and allocates nothing that outlives it; the rooms beside this package
(`experts`, `pdm`, `mean_shift`, …) document what they compute and call them. With ``NUMBA_DISABLE_JIT=1`` the same
functions run under a Python debugger.
"""
