"""Strict decoding of small JSON answers, of the API and of token endpoints."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from gsc_pipeline.search_console.errors import ServiceUnavailableError, WrongAnswerError, printable

T = TypeVar("T")

TEXT_CHARACTERS = 10_000
"""The longest text that is accepted as a key or URL. URLs in Google's index are shorter."""

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
