"""The messages between services: small, versioned, validated, and only data."""

from shared.messages.attachment import (
    ATTACHMENT_LIMIT_BYTES,
    FACES_IN_MESSAGE,
    Attachment,
    AttachmentKind,
    pack_faces,
    unpack_faces,
)
from shared.messages.face import FACES_LIMIT, Face, Page
from shared.messages.image import (
    PAGES_COUNTED,
    PAGES_LIMIT,
    ImageMessage,
    Kind,
    NamedImage,
    ResultMessage,
    Status,
    Subject,
    subject_of,
)
from shared.messages.message import (
    MESSAGE_LIMIT_BYTES,
    OLDEST_READ,
    SCHEMA_VERSION,
    Message,
    Payload,
    new_token,
    now,
)
from shared.messages.source import InlineImage, SourceFailedMessage, SourceKind, SourceMessage

__all__ = [
    "ATTACHMENT_LIMIT_BYTES",
    "FACES_IN_MESSAGE",
    "FACES_LIMIT",
    "MESSAGE_LIMIT_BYTES",
    "OLDEST_READ",
    "PAGES_COUNTED",
    "PAGES_LIMIT",
    "SCHEMA_VERSION",
    "Attachment",
    "AttachmentKind",
    "Face",
    "ImageMessage",
    "InlineImage",
    "Kind",
    "Message",
    "NamedImage",
    "Page",
    "Payload",
    "ResultMessage",
    "SourceFailedMessage",
    "SourceKind",
    "SourceMessage",
    "Status",
    "Subject",
    "decode_result",
    "new_token",
    "now",
    "pack_faces",
    "subject_of",
    "unpack_faces",
]


def decode_result(encoded: bytes) -> ResultMessage | SourceFailedMessage:
    """Read what the results stream carries; errors as `Message.decode`."""
    if b'"source_failed":true' in encoded[:4096]:
        return SourceFailedMessage.decode(encoded)
    return ResultMessage.decode(encoded)
