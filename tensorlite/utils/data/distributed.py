"""What torch has in ``torch.utils.data.distributed``."""

from tensorlite.data import DistributedSampler

__all__ = ["DistributedSampler"]
