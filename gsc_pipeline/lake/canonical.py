r"""The canonical form of a query, as DuckDB SQL: queries that ask the same question have the same form.

The rules, in their order:

1. Characters. Invisible ones are removed, full-width ones become ASCII, composed ones are used (NFC), case
   is ignored, and ä ö ü ß æ œ ø ł đ ı ς ё become ae oe ue ss ae oe o l d i σ е, without further accents: so
   does ǿ become o, and ǽ and ǣ become ae.
2. Other accents are removed if the query has Latin and Greek letters only. Letters that only Vietnamese
   has, and any other script, keep all accents of the query: there they distinguish words.
3. Words are split at spaces, punctuation and hyphens, and between a digit and two or more letters: `ps5`
   is `ps 5`, but `s5` is not `5s`. Kept are + and # after a word (`c++`, `c#`, `18+`), a dot or minus
   before one (`.net`, `-5`), % after a number, currencies, comparison and logical signs (`=>`, `&&`), and
   the signs . / : * + = ^ < > between digits; a comma there becomes a dot. `http://`, `https://` and
   `www.` are removed. An apostrophe before a last s or t joins (`women's`, `don't`); any other one
   separates. Text without spaces, as in Chinese, is one word.
4. A few compounds are joined, such as `e mail` and `t shirt` (COMPOUNDS). Other spellings with and without
   a space differ: to join `every day` and `everyday` takes a dictionary.
5. Plurals. A word of at least four letters a to z loses a last s, but not after s, u, i or c, and not if
   it is one of NO_PLURALS. A further e goes after ss, x, ch, sh, us, ion, idad and dor (`boxes`,
   `camiones`), in the singular too. A last `ie` becomes `y`, after three letters, or four if the last is l
   or r (`cities`, not `marie`). `eux` and `eaux` lose the x, and a German `en` goes after ung, heit, keit,
   schaft, tion and itat. Other plurals stay.
6. Order. The words are sorted, and repeated ones are kept. The order stays if the query has one of ORDERED
   or two words with a digit: `flights from a to b` is another question than `flights from b to a`.

A query of which nothing is left is its own form. The form of a form is the form itself.
"""

from __future__ import annotations

import random
import string
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from gsc_pipeline.lake.parquet_source import sql_text

if TYPE_CHECKING:
    import duckdb
    import numpy.typing as npt

CANONICAL_VERSION = 2
"""Raise it with every change of a rule: forms of different versions are not compared."""

NAME = "canonical_query"
"""The macro's name."""

_KEY = "letters_key"


def _words_of(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ORDERED = _words_of(
    "to from into in of for than before after until without not no minus as "
    "nach von vom zu zum zur bis aus fur als vor ohne nicht kein keine "
    "a de du des vers pour depuis dans en sans que "
    "del desde hacia hasta para sin al por "
    "di da dal dalla della per senza che non verso "
    "do dos das em sem ate na "
    "naar van tot uit voor zonder niet "
    "fran till til fra av af utan uden uten "
    "z ze od bez dla nie "
    "в во из на с со от до к без для не по "
    "到 至 から まで "
    "flight flights flug fluge vol vols vuelo vuelos volo voli voo voos vlucht "
    "train trains zug tren treno bus "
)
"""Words of direction and relation, and of journeys. A query with one of them keeps the order of its words."""

NO_PLURALS = _words_of(
    "aids arms blues briefs customs does falls glasses goods lens means news shorts sims vans windows woods "
    "eins etwas hals kurs links nichts pils puls raps rechts "
    "bras corps cours dans dios fils fonds gens mars martes ours sans sens temps vers "
    "kans niets plaats "
)
"""Words that end like a plural but are none, or mean something else than what remains without the ending."""

COMPOUNDS = (
    ("e", "mail", "book", "bike", "commerce", "learning", "reader"),
    ("t", "shirt"),
    ("x", "ray"),
    ("wi", "fi"),
)
"""First words, each with the words that are joined to it (also with an ending, such as `mails`)."""

_INVISIBLE = r"[\x{AD}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2064}\x{FE00}-\x{FE0F}\x{FEFF}]"
_HYPHENS = r"[\x{2010}-\x{2015}\x{2212}\x{FE58}\x{FE63}]"
_APOSTROPHES = r"[\x60\x{B4}\x{2BC}\x{2018}\x{2019}\x{201B}\x{2032}]"

# Listed, because classes such as \p{P} change with the version of Unicode.
_SEPARATORS = (
    r"\x00-/:-@\[-\x60{-\x{A9}\x{AB}\x{AC}\x{AE}-\x{B1}\x{B4}\x{B6}-\x{B8}\x{BB}\x{BF}\x{D7}\x{F7}"
    r"\x{55A}-\x{55F}\x{589}\x{58A}\x{5BE}\x{60C}\x{61B}\x{61F}\x{66A}-\x{66D}\x{6D4}\x{964}\x{965}"
    r"\x{1680}\x{2000}-\x{206F}\x{20A0}-\x{20CF}\x{2122}\x{2190}-\x{22FF}\x{2E00}-\x{2E7F}"
    r"\x{3000}-\x{3003}\x{3008}-\x{3011}\x{3014}-\x{301F}\x{3030}\x{30FB}"
    r"\x{FE10}-\x{FE19}\x{FE30}-\x{FE52}\x{FE54}-\x{FE6B}\x{FF5F}-\x{FF65}"
)
_LETTER = rf"[^0-9{_SEPARATORS}]"
_CURRENCY = r"[$\x{A3}\x{A5}\x{20A9}\x{20AC}\x{20B9}\x{20BA}\x{20BD}]"
_WORD = "|".join(
    (
        r"[a-z][0-9]+(?:[a-z][0-9]+)*[a-z]?\b\+*",
        r"[0-9]+[a-z](?:[0-9]+[a-z])*[0-9]*\b",
        r"-?\.?[0-9]+(?:[./:*+=^<>][0-9]+)*(?:%|\++)?",
        rf"[-.]?{_LETTER}+[+#]*",
        _CURRENCY,
        r"[!-]?[=<>*^~&|+]{2,}|[!-][=>]|[=<>*^~]",
    )
)

# Everything else keeps its accents: other scripts, and the letters that only Vietnamese has.
_KEEPS_ACCENTS = (
    r"[^\x00-\x{19F}\x{1A2}-\x{1AE}\x{1B1}-\x{3FF}\x{1E00}-\x{1E9F}\x{1F00}-\x{1FFF}"
    rf"{_SEPARATORS}]"
)
_PLAIN = "(?:[a-z]+|[0-9]+)(?: (?:[a-z]+|[0-9]+))*"
"""Queries whose words are what stands between their spaces."""
_LETTERS = (
    ("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss"), ("æ", "ae"), ("œ", "oe"), ("ø", "o"), ("ł", "l"),
    ("đ", "d"), ("ı", "i"), ("ς", "σ"), ("ё", "е"), ("ǽ", "ae"), ("ǣ", "ae"), ("ǿ", "o"),
)  # fmt: skip
_ACCENTED_LETTER = rf"([{''.join(letter for letter, _ in _LETTERS)}])\p{{M}}+"
"""An accent that is left would make another of these letters of what one becomes, as of ё and two dots."""

_PLURAL = (
    rf"(?m)^(?:({'|'.join(sorted({*NO_PLURALS}))})"
    r"|([a-z]+eu|[a-z]*eau)x(?:s|es?)?"
    r"|([a-z]+(?:ss|x|ch|sh|us|ion|idad|dor))es?"
    r"|([a-z]{3,}(?:ung|heit|keit|schaft|tion|itat))en"
    r"|([a-z]{2,}[abd-hj-rtv-z])s)$"
)
_ORDERED = rf"(?m)^(?:{'|'.join(ORDERED)})$|(?s:[0-9].*\n.*[0-9])"
_COMPOUND = "|".join(rf"({first})\n({'|'.join(rest)})" for first, *rest in COMPOUNDS)
_GROUPS = "".join(rf"\{number + 1}" for number in range(2 * len(COMPOUNDS)))

_CHANGED = "ehinpstwxy"
"""The letters that a rule may add or remove: of plurals, and of `www.` and `https://`."""


def _byte_weights() -> npt.NDArray[np.uint64]:
    """A random number for each byte of a letter or digit that every rule keeps; 0 for others."""
    numbers = random.Random(1)
    kept = {*string.ascii_lowercase, *string.digits} - {*_CHANGED}
    weights = {byte: numbers.getrandbits(64) for byte in (*map(ord, sorted(kept)), *range(128, 256))}
    return np.array([weights.get(byte, 0) for byte in bytes(range(256)).lower()], np.uint64)


_BYTE_WEIGHTS = _byte_weights()


def _letters_key(texts: pa.ChunkedArray) -> pa.Array:
    """A number for each text (uint64): the sum of its bytes' weights, whatever their order.

    Takes a thirtieth of the time of a form.
    """
    whole = texts.cast(pa.string()).combine_chunks()
    _, ends, data = whole.buffers()
    at = np.frombuffer(ends, np.int32, len(whole) + 1, 4 * whole.offset)
    # A byte more, because `reduceat` wants a place for each text, also for an empty one at the end.
    read = np.append(np.frombuffer(data or b"", np.uint8)[at[0] : at[-1]], np.uint8(0))
    sums = np.add.reduceat(_BYTE_WEIGHTS[read], at[:-1] - at[0])
    sums[at[:-1] == at[1:]] = 0
    return pa.array(sums)


def letters_key_sql(query: str) -> str:
    """The key of the SQL expression `query`: queries with the same canonical form have the same key.

    Few others do. It needs `create_letters_key`.
    """
    seen = _replaced(_bare(_letters(query)), rf"[{_SEPARATORS}]", "")
    return f"{_KEY}(CASE WHEN {_is_other(query)} THEN {seen} ELSE {query} END)"


def create_letters_key(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the function that `letters_key_sql` needs available in the connection."""
    # DuckDB's annotations want an enumeration, whose module differs between its releases.
    connection.create_function(_KEY, _letters_key, ["VARCHAR"], "UBIGINT", type="arrow")  # type: ignore[call-overload]


def canonical_sql(query: str) -> str:
    """The canonical form of the SQL expression `query`, which is repeated: give a column or parameter."""
    return _form(_words(query, _letters(query)), query)


def with_canonical_query_sql(rows: str) -> str:
    """Selects `rows` with a column canonical_query; `rows` may stand after FROM and have a column `query`.

    In steps, so that no step repeats another: DuckDB plans and runs this in a fraction of the time.
    """
    return f"""
    SELECT * EXCLUDE (letters, words), {_form("words", "query")} AS canonical_query FROM (
        SELECT *, {_words("query", "letters")} AS words FROM (
            SELECT *, {_letters("query")} AS letters FROM {rows}))"""


def _letters(query: str) -> str:
    """Rule 1."""
    wide = "".join(map(chr, range(0xFF01, 0xFF5F)))
    narrow = "".join(map(chr, range(0x21, 0x7F)))
    # nfc_normalize ends at a zero.
    seen = f"replace({_replaced(query, _INVISIBLE, '')}, chr(0), ' ')"
    seen = f"lower(nfc_normalize(translate({seen}, {sql_text(wide)}, {sql_text(narrow)})))"
    seen = f"replace({_replaced(_replaced(seen, _HYPHENS, '-'), _APOSTROPHES, chr(39))}, '×', 'x')"
    seen = _replaced(seen, _ACCENTED_LETTER, r"\1")
    for letter, plain in _LETTERS:
        seen = f"replace({seen}, '{letter}', '{plain}')"
    return f"CASE WHEN {_is_other(query)} THEN {seen} ELSE lower({query}) END"


def _is_other(query: str) -> str:
    """Whether the query has other characters than those of ASCII: more bytes than characters."""
    return f"strlen({query}) <> length({query})"


def _words(query: str, letters: str) -> str:
    """The words of the query, one a line. Most queries are plain, which is cheap to see."""
    found = f"regexp_extract_all({_spaced(_bare(letters))}, {sql_text(_WORD)})"
    return (
        f"CASE WHEN regexp_full_match({query}, '{_PLAIN}') THEN replace({query}, ' ', chr(10)) "
        f"ELSE array_to_string({found}, chr(10)) END"
    )


def _bare(letters: str) -> str:
    """Rule 2."""
    keeps = f"regexp_matches({letters}, {sql_text(_KEEPS_ACCENTS)})"
    return f"CASE WHEN {keeps} THEN nfc_normalize({letters}) ELSE strip_accents({letters}) END"


def _form(words: str, query: str) -> str:
    """Rule 6, and the query itself if it has no words."""
    singular = _singular(words)
    in_order = f"replace({singular}, chr(10), ' ')"
    by_text = f"array_to_string(list_sort(string_split({singular}, chr(10))), chr(10))"
    # Sorting may bring the words of a compound together.
    by_text = f"replace({_joined(by_text)}, chr(10), ' ')"
    is_ordered = f"regexp_matches({words}, {sql_text(_ORDERED)})"
    return f"coalesce(nullif(CASE WHEN {is_ordered} THEN {in_order} ELSE {by_text} END, ''), {query})"


def _spaced(text: str) -> str:
    """Rule 3, as far as a sign depends on what is before or after it."""
    for pattern, replacement in (
        (r"https?://|\bwww\.", " "),
        (r"([a-z])'([st])\b", r"\1\2"),
        (r",([0-9])", r".\1"),
        (rf"({_LETTER})\.+", r"\1 "),
        (rf"([0-9])\.+({_LETTER})", r"\1 \2"),
        (r"\.{2,}", " "),
        (r"([^ \t\n\r])-+", r"\1 "),
        (rf"[+#]+({_LETTER})", r" \1"),
        (r"([0-9])[ \t\n\r]+%", r"\1%"),
    ):
        text = _replaced(text, pattern, replacement)
    return text


def _joined(words: str) -> str:
    """Rule 4."""
    return _replaced(words, rf"(?m)^(?:{_COMPOUND})", _GROUPS)


def _singular(words: str) -> str:
    """Rules 4 and 5."""
    without_s = _replaced(_joined(words), _PLURAL, r"\1\2\3\4\5")
    return _replaced(without_s, r"(?m)^([a-z]{2,}[a-km-qs-z]|[a-z]{3,}[lr])ie$", r"\1y")


def _replaced(text: str, pattern: str, replacement: str) -> str:
    return f"regexp_replace({text}, {sql_text(pattern)}, {sql_text(replacement)}, 'g')"


MACRO = f"CREATE MACRO {NAME}(query) AS {canonical_sql('query')}"
"""Creates the macro. DuckDB writes it to a file's catalog as it is, so newer rules need a new file."""


def create_macro(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `canonical_query(text)` available in the connection's database."""
    connection.execute(MACRO)
