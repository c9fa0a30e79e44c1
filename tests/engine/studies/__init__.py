"""Tests of `clnf_engine.studies`."""
