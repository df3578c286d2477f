"""How large a picture may be that is sent along, and which limit says so."""

from dataclasses import dataclass

from shared.settings import Settings


@dataclass(frozen=True)
class Largest:
    """The bytes of the largest picture, and whose limit that is, in words."""

    size: int
    whose: str = "FACES_INLINE_LIMIT_BYTES allows {size:,}"

    @classmethod
    def of(cls, settings: Settings, redis_takes: int) -> "Largest":
        """The setting's limit, or what Redis can ever take at once where that is less.

        Without this a picture that Redis never has room for would be waited with for ever.
        """
        if redis_takes < settings.inline_limit_bytes:
            return cls(redis_takes, "Redis takes at most {size:,} at once, half of its maxmemory")
        return cls(settings.inline_limit_bytes)

    def refuses(self, size: int) -> str:
        """Why a picture of so many bytes is not sent; '' where it is."""
        if size <= self.size:
            return ""
        return f"{size:,} bytes, and {self.whose.format(size=self.size)}"
