"""Strict decoding of small JSON answers, of the API and of token endpoints."""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

import msgspec

from gsc_pipeline.search_console.errors import ServiceUnavailableError, WrongAnswerError, printable

T = TypeVar("T")

TEXT_CHARACTERS = 10_000
"""The longest text that is accepted as a URL of a property, sitemap or page. Those of Google are shorter."""

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)",
    re.DOTALL,
)
"""An escape of JSON: a surrogate pair, half of one, or the first two characters of any other."""

_OF_A_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")

COUNT_LIMIT = 2**53
"""Counts are below this. From here on, a JSON number may stand for several integers."""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_CHARACTERS)]
Count = Annotated[int, msgspec.Meta(ge=0, lt=COUNT_LIMIT)]


class AnswerObject(msgspec.Struct):
    """The base of all answers. An answer with an `error` is a refusal, whatever its status."""

    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if self.error is not msgspec.UNSET:
            raise ValueError("it contains an error")


def with_half_pairs_as_text(body: bytes) -> bytes:
    """The JSON with `\\ud83d` and its like as six characters of text, where it is half of a surrogate pair.

    No text can hold half of a pair. As it is written in JSON, nothing of it is lost, and two texts that
    differ in it alone stay two.
    """

    def replaced(found: re.Match[bytes]) -> bytes:
        escape = found[0]
        return b"\\" + escape.lower() if len(escape) == len(b"\\ud83d") else escape

    return _ESCAPE.sub(replaced, body) if _OF_A_PAIR.search(body) else body


def decode_strictly(decoder: msgspec.json.Decoder[T], body: bytes, what: str) -> T:
    """Decode `body`. Errors name it as `what`.

    Raises ServiceUnavailableError if it is not JSON or incomplete, WrongAnswerError if it is JSON of another
    form.
    """
    size = f"{len(body)} bytes"
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise WrongAnswerError(f"{what} could not be read ({printable(str(error))}; {size})") from None
    except RecursionError:
        raise WrongAnswerError(f"{what} could not be read (it is nested too deeply; {size})") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServiceUnavailableError(f"{what} could not be read ({printable(str(error))}; {size})") from None
