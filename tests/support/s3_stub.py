"""A small S3 over real HTTP that refuses, falls silent and recovers when told to."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

ENVIRONMENT = {
    "AWS_ALLOW_HTTP": "true",
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": "not-to-be-seen-anywhere",
    "AWS_REGION": "us-east-1",
}

PAGE = 1000

_KEY = re.compile(r"<Key>([^<]*)</Key>")

Refusal = tuple[int, str]
"""A status, and the code of the error in the answer's body ('' for an answer without a body)."""

Rule = Callable[[str, str, str], Refusal | None]
"""`(method, bucket, key)` to the refusal of a request; None: it is answered. The key of a listing
is ''."""

Listing = Callable[[dict[str, bytes], dict[str, str]], bytes]


class S3Stub:
    """Buckets in memory. Their keys may be anything, also what obstore refuses to name.

    Attributes:
        buckets: bucket to key to content.
        silent: buckets whose requests are taken and not answered.
        refuse: the rule by which requests are refused.
        cut: whether the body of this object (`bucket`, `key`) breaks off.
        listing: what is answered to who lists a bucket, from its objects and the query.
        requests: `METHOD bucket/key` of all that came.
    """

    def __init__(self) -> None:
        self.buckets: dict[str, dict[str, bytes]] = {}
        self.silent: set[str] = set()
        self.refuse: Rule = lambda *_: None
        self.cut: Callable[[str, str], bool] = lambda *_: False
        self.listing: Listing = _listing
        self.requests: list[str] = []
        self._mended = threading.Condition()
        self._ending = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """How programs find it."""
        return ENVIRONMENT | {"AWS_ENDPOINT_URL": self.endpoint}

    def mend(self) -> None:
        """Refuse nothing any more, and answer everybody, also those who wait."""
        with self._mended:
            self.refuse = lambda *_: None
            self.cut = lambda *_: False
            self.silent.clear()
            self._mended.notify_all()

    def wait_while_silent(self, bucket: str) -> bool:
        """Whether to answer, once the bucket is no longer silent."""
        with self._mended:
            self._mended.wait_for(lambda: self._ending or bucket not in self.silent)
        return not self._ending

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        with self._mended:
            self._ending = True
            self._mended.notify_all()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def s3_stub() -> Iterator[S3Stub]:
    """A stub that runs during the block."""
    stub = S3Stub()
    stub.start()
    try:
        yield stub
    finally:
        stub.stop()


def _handler(stub: S3Stub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def handle(self) -> None:
            with suppress(ConnectionError):  # who asked has given up
                super().handle()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = urlsplit(self.path)
            bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
            stub.requests.append(f"{self.command} {bucket}/{key}")
            if not stub.wait_while_silent(bucket):
                return
            if refused := stub.refuse(self.command, bucket, key):
                self._refuse(*refused)
            elif bucket not in stub.buckets:
                self._refuse(404, "NoSuchBucket")
            elif self.command == "PUT":
                stub.buckets[bucket][key] = body
                self._say(200, b"", {"ETag": _etag(body)})
            elif self.command == "POST":  # DeleteObjects
                names = _KEY.findall(body.decode())
                for name in names:
                    stub.buckets[bucket].pop(unescape(name), None)
                gone = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in names)
                self._say(200, f"<DeleteResult>{gone}</DeleteResult>".encode(), {})
            elif not key:
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                self._say(200, stub.listing(stub.buckets[bucket], query), {})
            elif key in stub.buckets[bucket]:
                content = stub.buckets[bucket][key]
                self._say(200, content, {"ETag": _etag(content)}, cut=stub.cut(bucket, key))
            else:
                self._refuse(404, "NoSuchKey")

        do_GET = do_HEAD = do_PUT = do_POST = _answer

        def _refuse(self, status: int, code: str) -> None:
            self._say(status, f"<Error><Code>{code}</Code></Error>".encode() if code else b"", {})

        def _say(
            self, status: int, body: bytes, headers: dict[str, str], *, cut: bool = False
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            self.send_header("Content-Length", str(len(body)))
            with suppress(ConnectionError):  # who had asked has given up
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body[: len(body) // 2] if cut else body)
            self.close_connection |= cut

    return Handler


def _etag(content: bytes) -> str:
    return f'"{md5(content, usedforsecurity=False).hexdigest()}"'


def _listing(keys: dict[str, bytes], query: dict[str, str]) -> bytes:
    """A page of ListObjectsV2, in the order of the keys' bytes."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after = query.get("continuation-token") or query.get("start-after", "")
    entries: dict[str, str] = {}  # what is listed, a key or a common prefix, to its XML
    for key, content in list(keys.items()):  # others may put some meanwhile
        if not key.startswith(prefix):
            continue
        rest = key[len(prefix) :]
        if delimiter and delimiter in rest:
            common = prefix + rest.partition(delimiter)[0] + delimiter
            entries[common] = f"<CommonPrefixes><Prefix>{_xml(common)}</Prefix></CommonPrefixes>"
        else:
            entries[key] = (
                f"<Contents><Key>{_xml(key)}</Key><Size>{len(content)}</Size>"
                f"<ETag>{escape(_etag(content))}</ETag>"
                "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            )
    behind = sorted((key for key in entries if key > after), key=str.encode)
    page, more = behind[:PAGE], len(behind) > PAGE
    token = f"<NextContinuationToken>{_xml(page[-1])}</NextContinuationToken>" if more else ""
    return (
        f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}"
        f"{''.join(entries[key] for key in page)}</ListBucketResult>"
    ).encode()


def _xml(text: str) -> str:
    return escape(text, {chr(code): f"&#{code};" for code in range(1, 32)})
