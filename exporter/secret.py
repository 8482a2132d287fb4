"""Texts that must appear in no log, page, metric, message or repr."""

from pathlib import Path

_MAX_BYTES = 4096


class Secret:
    """A text that shows itself only when asked with `reveal()`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def reveal(self) -> str:
        return self._text


def read(path: Path) -> str:
    """The text in a secret file, without the white space around it (editors end files with a newline).

    Raises `OSError`, and `ValueError` saying what is wrong with the content without showing it.
    """
    with path.open("rb") as stream:
        content = stream.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"longer than {_MAX_BYTES} bytes")
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        raise ValueError("not a text") from None
    if not text:
        raise ValueError("the file is empty")
    return text
