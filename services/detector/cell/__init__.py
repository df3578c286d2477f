"""The cell of a child process: what it gives up before it touches a picture from a stranger.

A child begins (`begin`, `take_pipes`), loads everything that it needs, and closes its cell. Its
parent hides its own memory from them, and tells what their cells lack.
"""

from services.detector.cell.beginning import address_space, begin, take_pipes
from services.detector.cell.closing import WHY_LIMIT, Layer, close_cell, lacking
from services.detector.cell.linux import hide_memory

__all__ = [
    "WHY_LIMIT",
    "Layer",
    "address_space",
    "begin",
    "close_cell",
    "hide_memory",
    "lacking",
    "take_pipes",
]
