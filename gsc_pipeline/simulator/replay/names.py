"""The API's codes of countries and devices, by their names in many languages.

The names of countries are those of the Unicode CLDR, Google's source too, read with babel. Google keeps some
older or shorter names; these are listed here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from babel.core import Locale, get_global
from babel.localedata import locale_identifiers

_WITHDRAWN = frozenset({"ANT", "BUR", "DDR", "FXX", "NTZ", "SCG", "SUN", "TMP", "YMD", "YUG", "ZAR"})
"""Withdrawn three-letter codes, which CLDR lists as aliases of today's countries."""

_OTHER_NAMES = {
    "HK": "hong kong, hongkong, 香港, 홍콩, гонконг",
    "MO": "macau, macao, 澳門, 澳门, マカオ, 마카오, макао",
    "TR": "turkey",
    "MK": "macedonia, fyrom, mazedonien, macédoine, македония, マケドニア",
    "PS": "palestine, palästina, palestina, palestine territories, палестина, パレスチナ",
    "SZ": "swaziland, swasiland, suazilandia, suazilândia, свазиленд, スワジランド",
    "VI": "us virgin islands",
    "UM": "us minor outlying islands",
    "CZ": "czech republic, tschechische republik, république tchèque, república checa, repubblica ceca",
    "CV": "cape verde, cabo verde, kap verde, cap vert, capo verde",
    "BY": "weißrussland, biélorussie, bielorrusia, bielorussia",
    "MM": "myanmar, burma, birma, birmanie",
    "CI": "ivory coast, elfenbeinküste, costa de marfil, costa d avorio",
    "CD": "democratic republic of the congo",
    "CG": "republic of the congo",
    "LA": "laos",
    "VA": "vatican city",
    "ZZ": "unknown region, unknown",
}

_DEVICE_WORDS = {
    "TABLET": "tablet, tablette, tableta, таблет, планшет, 平板, タブレット, 태블릿, máy tính bảng, แท็บเล็ต, "
    "لوحي, טאבלט, surfplatta, nettbrett, tahvel, planšet, planşet, táblagép, tafla, टैबलेट, ταμπλέτ, τάμπλετ",
    "MOBILE": "mobil, móvil, mobiel, handy, cellul, celular, smartphone, telefon, telemóvel, telèfon, mòbil, "
    "мобил, мобіл, телефон, モバイル, スマートフォン, 모바일, 휴대, 移动, 行動, 手机, 手機, di động, มือถือ, "
    "جوال, جوّال, هاتف, محمول, נייד, κινητ, matkapuhelin, puhelin, komórk, seluler, ponsel, मोबाइल, mobitel",
    "DESKTOP": "desktop, computer, computadora, ordinateur, ordenador, ordinador, escritorio, компютър, "
    "компьютер, комп'ютер, настільн, デスクトップ, パソコン, 桌面, 电脑, 電腦, 计算机, 컴퓨터, 데스크톱, "
    "máy tính, เดสก์ท็อป, คอมพิวเตอร์, سطح المكتب, كمبيوتر, מחשב, masaüstü, bilgisayar, υπολογιστ, počítač, "
    "komputer, számítógép, asztali, calculator, dator, datamaskin, stasjonær, skrivbord, stationær, "
    "tietokone, pöytäkone, računalnik, računalo, računar, arvuti, kompiuteris, डेस्कटॉप, कंप्यूटर, tölva",
}
"""Beginnings of words. Tablets come first, because some languages call them a computer."""


def device_code(name: str) -> str | None:
    """`DESKTOP`, `MOBILE` or `TABLET`, by the device's name in one of many languages; None if unknown."""
    plain = _plain(name)
    for code, words in _DEVICE_WORDS.items():
        if any(_plain(word) in plain for word in words.split(", ")):
            return code
    return None


def country_codes(names: Sequence[str]) -> list[str | None]:
    """The lower-case alpha-3 code of each name, `zzz` for an unknown region; None if it names no country.

    The names must all be in one language, which is detected.
    """
    plain = [_plain(name) for name in names]
    language = _language(tuple(plain))
    known = _countries(language)
    return [known.get(name) or _others().get(name) or _similar(name, known) for name in plain]


def are_countries(names: Sequence[str], *, in_english: bool) -> bool:
    """Whether most of these labels name countries, in English or in any language.

    English is separate because reading the names of all languages takes a second.
    """
    if len(names) > len(_alpha3()):
        return False
    plain = tuple(_plain(name) for name in names[:40])
    language = "en" if in_english else _language(plain)
    return _hits(plain, _countries(language)) * 2 > len(plain)


def _language(plain: tuple[str, ...]) -> str:
    """The language in which most of the names are countries; English if nearly all are."""
    if _hits(plain, _countries("en")) >= 0.9 * len(plain):
        return "en"
    return max(_languages(), key=lambda language: (_hits(plain, _countries(language)), language == "en"))


def _hits(plain: Sequence[str], known: dict[str, str]) -> int:
    return sum(name in known or name in _others() for name in plain)


def _similar(name: str, known: dict[str, str]) -> str | None:
    """The only country whose longer name contains `name`, such as `Sonderverwaltungsregion Hongkong`."""
    found = {code for text, code in known.items() if len(name) >= 4 and name in text}
    return found.pop() if len(found) == 1 else None


@lru_cache(maxsize=1)
def _languages() -> list[str]:
    return sorted(name for name in locale_identifiers() if "_" not in name or name in ("pt_PT", "zh_Hant"))


@lru_cache(maxsize=400)
def _countries(language: str) -> dict[str, str]:
    names = Locale.parse(language).territories
    return {_plain(name): _alpha3()[code] for code, name in names.items() if code in _alpha3()}


@lru_cache(maxsize=1)
def _others() -> dict[str, str]:
    return {_plain(name): _alpha3()[code] for code, all_ in _OTHER_NAMES.items() for name in all_.split(", ")}


@lru_cache(maxsize=1)
def _alpha3() -> dict[str, str]:
    aliases = get_global("territory_aliases")
    return {
        codes[0]: alias.lower()
        for alias, codes in aliases.items()
        if re.fullmatch("[A-Z]{3}", alias) and alias not in _WITHDRAWN and len(codes) == 1
    }


def _plain(name: str) -> str:
    """`name` without case, Latin accents, punctuation and double spaces."""
    letters = unicodedata.normalize("NFKD", name.replace("&", " and ").replace(".", "").casefold())
    # Marks of other scripts are kept: they are vowels, by which the names of countries differ.
    kept = (
        letter if letter.isalnum() or unicodedata.category(letter)[0] == "M" else " " for letter in letters
    )
    return " ".join(re.sub("[\u0300-\u036f]", "", "".join(kept)).split())
