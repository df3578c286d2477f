"""URLs of buckets: which they are, what lies below which, and the keys in them."""

from urllib.parse import quote, unquote, urlsplit

BUCKET_SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss")


def is_bucket(url: str) -> bool:
    """Whether a URL names a bucket, or something in one."""
    scheme, separator, rest = url.partition("://")
    return bool(separator) and scheme in BUCKET_SCHEMES and bool(rest.strip("/"))


def below(url: str, allowed: str) -> bool:
    """Whether a URL is `allowed` itself or lies below it. `a/bc` does not lie below `a/b`."""
    return url.rstrip("/") == allowed.rstrip("/") or url.startswith(allowed.rstrip("/") + "/")


def bucket_of(url: str) -> tuple[str, str]:
    """The bucket's own URL, and the key in it that the rest of the URL names ('' for none)."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}", unquote(parts.path).strip("/")


def object_uri(bucket: str, key: str) -> str:
    """The URI of an object; `bucket_of` takes it apart again, whatever is in the key."""
    return f"{bucket}/{quote(key)}"
