"""Where time goes: operations of eager and of captured steps, by name and by source line.

The names are torch's (``torch.profiler``).
"""

from tensorlite.profiler.events import Average, Event, EventList
from tensorlite.profiler.session import (
    ProfilerAction,
    ProfilerActivity,
    profile,
    record_function,
    schedule,
)

__all__ = [
    "Average",
    "Event",
    "EventList",
    "ProfilerAction",
    "ProfilerActivity",
    "profile",
    "record_function",
    "schedule",
]
