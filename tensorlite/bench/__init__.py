"""Measuring: workloads, each framework in a process of its own, and the machine's limits.

``tensorlite bench`` is the command; nothing here is imported by ``import tensorlite``.
"""
