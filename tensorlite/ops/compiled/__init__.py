"""Compiled kernels for primitives: which kernel replaces which reference.

The operations know nothing of kernels. Here each gets its kernel, and arrays are brought into the
form that the kernel needs (one float dtype, no gaps). Where that is not possible, the reference
runs. A file is loaded with the operations it belongs to: `attention`, `images` and `recurrent` by
`tensorlite.nn.functional`, the others by `tensorlite.ops`.
"""
