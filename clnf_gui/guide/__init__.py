"""Guided cases: what they show, and the pictures and runs that they show it on."""
