"""What a command says of the files that it did not read."""

from services.cli.not_read import not_read_by_kind
from shared.media import why_not_read


def test_files_that_are_not_read_are_told_by_kind_and_extension_most_first() -> None:
    named = {b"a.svg": 3, b"b.mp4": 38, b"c.MOV": 2, b"d.pdf": 1}
    sentences = {}
    for name, number in named.items():
        failure = why_not_read(name)
        assert failure is not None
        sentences[failure.sentence] = number
    told = not_read_by_kind(sentences)
    assert told == "40 videos (.mp4 38, .mov 2), 3 drawings (.svg), 1 document (.pdf)"


def test_a_sentence_of_another_version_stands_as_it_is() -> None:
    assert not_read_by_kind({"not read: a hologram (.holo)": 2}) == "2 x a hologram (.holo)"
