"""Panels let a person change something; every change leaves as a signal."""
