"""What torch's module of this name has."""

from tensorlite.nn.module import Module

__all__ = ["Module"]
