"""The end of an attempt that is nobody's fault."""

from shared.streams.stage import Later


class PutOff(Exception):
    """What a picture needs does not answer now; `later` is what becomes of it."""

    def __init__(self, later: Later) -> None:
        super().__init__(later.reason)
        self.later = later
