"""Captured calls: recorded once, then run without Python."""

from tensorlite.recording.capture import Captured, CaptureError, capture
from tensorlite.recording.recording import Recording

__all__ = ["CaptureError", "Captured", "Recording", "capture"]
