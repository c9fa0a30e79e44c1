"""The CLNF debugger window, over `clnf_engine`."""
