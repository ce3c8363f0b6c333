"""What torch has in ``torch.utils.checkpoint``."""

from tensorlite.recompute import checkpoint, checkpoint_sequential

__all__ = ["checkpoint", "checkpoint_sequential"]
