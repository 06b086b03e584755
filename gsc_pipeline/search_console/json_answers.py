"""Small answers of the API and of token endpoints, read strictly: what is no such answer is told apart from
what is no JSON at all.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from gsc_pipeline.search_console.errors import ServiceUnavailableError, WrongAnswerError, printable

T = TypeVar("T")

TEXT_CHARACTERS = 10_000
"""The longest text that is taken for a key or an address; those that are indexed are shorter."""

MOST = 2**53
"""Counts are below this. From here on a number as the wire writes it no longer tells which integer it was."""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_CHARACTERS)]
Count = Annotated[int, msgspec.Meta(ge=0, lt=MOST)]


class AnswerObject(msgspec.Struct):
    """What every answer is: an object. One that holds an `error` is a refusal, whatever its status says."""

    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if self.error is not msgspec.UNSET:
            raise ValueError("it holds an error")


def decode_strictly(decoder: msgspec.json.Decoder[T], body: bytes, what: str) -> T:
    """Decode `body`.

    Raises ServiceUnavailableError where it is no JSON or cut short, WrongAnswerError where it is JSON and
    no such answer, both naming `what`.
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
