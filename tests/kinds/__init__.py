"""Kinds of faults, each with a table through which every operation goes by itself."""
