"""URIs of files and buckets: how they are built and taken apart, and what lies below what."""

from pathlib import Path
from posixpath import normpath
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

FILE_SCHEMES = ("file",)
BUCKET_SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss")


def file_uri(path: bytes) -> str:
    """The `file://` URI of an absolute path, given as bytes so that any file name survives."""
    return "file://" + quote(path)


def file_path(uri: str) -> bytes:
    """The path that `file_uri` was made of.

    Raises:
        ValueError: the URI names no absolute path on this host; the text says why.
    """
    if not uri.startswith("file:///"):
        raise ValueError(f"{uri[:200]!r} is not a file:/// URI")
    path = unquote_to_bytes(uri.removeprefix("file://"))
    if b"\0" in path:
        raise ValueError("a path with a NUL byte in it names no file")
    return path


def is_bucket(url: str) -> bool:
    """Whether a URL names a bucket, or something in one."""
    scheme, separator, rest = url.partition("://")
    return bool(separator) and scheme in BUCKET_SCHEMES and bool(rest.strip("/"))


def check_bucket(url: str) -> None:
    """See that a URL names a bucket, without credentials.

    Raises:
        ValueError: it does not; the text, which does not repeat it, says what to write.
    """
    if not is_bucket(url) or not urlsplit(url).netloc:
        raise ValueError("write URLs of buckets, such as s3://bucket/folder")
    if "@" in urlsplit(url).netloc:
        raise ValueError(
            "no user or password belongs into it; give credentials in the provider's variables, "
            "such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )


def check_store(url: str) -> None:
    """See that a URL names a place to keep pictures in: a folder, or a bucket.

    Raises:
        ValueError: it does not; the text, which does not repeat it, says what to write.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in (*FILE_SCHEMES, "memory", *BUCKET_SCHEMES):
        raise ValueError(
            "write file://FOLDER, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or "
            "az://ACCOUNT/CONTAINER/PREFIX"
        )
    if scheme in BUCKET_SCHEMES:
        check_bucket(url)
    elif scheme in FILE_SCHEMES and not normpath(unquote(rest)).strip("/."):
        # All that lies in a store and that no row names may be deleted from it.
        raise ValueError("name a folder that is only for pictures: file://FOLDER")


def bucket_of(url: str) -> tuple[str, str]:
    """The bucket's own URL, and the key in it that the rest of the URL names ('' for none)."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}", unquote(parts.path).strip("/")


def object_uri(bucket: str, key: str) -> str:
    """The URI of an object; `bucket_of` takes it apart again, whatever is in the key."""
    return f"{bucket}/{quote(key)}"


def below(uri: str, allowed: str) -> bool:
    """Whether a URI is `allowed` itself or lies below it. `a/bc` does not lie below `a/b`.

    Both are compared as they stand: resolve links and `..` of a path first. Keys of objects have
    none, and one with a percent sign more or less is another key.
    """
    return uri.rstrip("/") == allowed.rstrip("/") or uri.startswith(allowed.rstrip("/") + "/")


def sqlite_url(file: Path) -> str:
    """The catalog in a file, whatever characters its path has.

    As SQLAlchemy writes it, but without loading that: a run has something to start first.
    """
    return f"sqlite:///{quote(str(file.absolute()), safe=' +/')}"
