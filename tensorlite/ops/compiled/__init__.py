"""Kernels whose call is more than a line: attention, convolution, recurrent layers.

Elsewhere a primitive names its kernel, or calls it, right under its gradient rule. These choose
among several kernels and launch more than one, so each has a file here, which
`tensorlite.nn.functional` loads. `arrays` brings arrays into the form that kernels need: one float
dtype, no gaps. Where that is not possible, the reference runs.
"""
