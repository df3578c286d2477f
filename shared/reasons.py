"""Reasons of failures that say nothing about a picture: submitting it again does it again."""

CANCELLED = "cancelled"
"""The submission was cancelled before the picture was searched."""

PICTURE_LOST = "the highlighted picture was lost with Redis before it was stored; submit it again"
"""Faces were found, but what was drawn did not outlive Redis."""

BYTES_LOST = "its bytes were lost with Redis before it was searched; submit it again"
"""The picture had been sent along, and nobody else kept it."""
