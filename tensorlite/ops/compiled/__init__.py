"""Which compiled kernel takes the place of which primitive's reference.

The operations know nothing of kernels: here each is given its own, with what the kernel asks for
(one float dtype, no gaps) seen to. Where that cannot be, the reference runs. A family is loaded
with the operations it belongs to: `attention`, `images` and `recurrent` by
`tensorlite.nn.functional`, the others by `tensorlite.ops`.
"""
