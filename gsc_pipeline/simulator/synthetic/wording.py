"""The queries and page addresses of synthetic properties, which read like those of a shop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, islice

from gsc_pipeline.simulator.addresses import host_of, root_of

_NOUNS = (
    "coffee grinder", "espresso machine", "garden hose", "running shoes", "desk lamp", "yoga mat",
    "camping tent", "bike helmet", "water bottle", "office chair", "rain jacket", "phone case",
    "travel mug", "wool socks", "bread knife", "cast iron pan", "hiking poles", "sleeping bag",
    "standing desk", "baby monitor", "dog harness", "cat tree", "air purifier", "electric kettle",
)  # fmt: skip
_ADJECTIVES = (
    "", "best", "cheap", "small", "quiet", "lightweight", "waterproof", "foldable", "large", "vintage",
    "professional", "organic", "wireless", "portable", "durable", "heavy duty", "handmade", "recycled",
)  # fmt: skip
_PURPOSES = (
    "", "for beginners", "for kids", "for travel", "under 50", "reviews", "near me", "how to clean",
    "vs", "repair", "sizes", "for small apartments", "gift", "replacement parts", "sale", "comparison",
    "for seniors", "2 person", "manual", "warranty", "used", "rental", "ideas", "alternatives",
)  # fmt: skip
_BRAND = ("", "login", "shop", "near me", "reviews", "discount code", "opening hours", "returns", "careers")
_SECTIONS = ("products", "guides", "blog", "help", "collections")

AWKWARD_QUERIES = (
    "null", "nan", "none", "true", "123", "1e5", "0012", "2024-11-03", 'knife "damascus" 8"',
    "desk, lamp; chair", "café münchen", "東京 コーヒー", "قهوة عربية", "c++ mug", "50% off", "=sum(a1)",
    "o'brien's tent", "back\\slash", "☕ grinder", "кофемолка ручная", "a/b testing mat", "<b>bold</b> chair",
)  # fmt: skip
"""Texts that are easily taken for a missing value, a number, a formula or markup, and other scripts."""

HARD_QUERIES = (
    "null", "NaN", "1e5", "two\nlines", 'the "quoted" one', "🏕️", "carriage\r\nreturn", "tab\tinside", "None",
)  # fmt: skip
"""Texts that some file formats change."""


def brand_of(site_url: str) -> str:
    """The brand in the host name: `bluebird` for `www.bluebird.example`."""
    return host_of(site_url).removeprefix("www.").split(".")[0].replace("-", " ")


def brand_queries(site_url: str, number: int) -> list[str]:
    """The first `number` queries with the brand's name, the most frequent first."""
    brand = brand_of(site_url)
    return [f"{brand} {word}".strip() for word in islice(_words(_BRAND), number)]


def other_queries(number: int) -> list[str]:
    """The first `number` queries without the brand, all different, with the awkward ones among them."""
    queries = [*islice(_phrases(), number)]
    for place, awkward in zip(range(5, number, 7), AWKWARD_QUERIES, strict=False):
        queries[place] = awkward
    return queries


def hard_pages(site_url: str) -> list[str]:
    """Addresses that some file formats change: with 2,000 characters, with quotes, with an emoji."""
    root = root_of(site_url)
    return [root + "x" * (2_000 - len(root)), f"{root}\"quoted\",'too'", f"{root}🏕️?a=1&b=null#é"]


def large_pages(site_url: str, folders: Sequence[int]) -> list[str]:
    """One page address for each of `folders`, all different, the home page first.

    A folder below 0 is a page without one. A domain property has folders of two hosts.
    """
    root = root_of(site_url)
    roots = (root, root.replace("://www.", "://shop.")) if site_url.startswith("sc-domain:") else (root, root)
    slugs = (phrase.replace(" ", "-") for phrase in _phrases())
    found = [
        f"{root}{slug}" if folder < 0 else f"{roots[folder % 4 == 3]}{_folder(folder)}/{slug}"
        for folder, slug in zip(folders, slugs, strict=False)
    ]
    return [root, *found[1:]]


def _folder(number: int) -> str:
    name = _SECTIONS[number % len(_SECTIONS)]
    return name if number < len(_SECTIONS) else f"{name}-{number // len(_SECTIONS) + 1}"


def pages(site_url: str, number: int) -> list[str]:
    """The first `number` page addresses of the property, all different, the home page first."""
    root = root_of(site_url)
    slugs = (phrase.replace(" ", "-") for phrase in _phrases())
    found = [root]
    for place, slug in enumerate(islice(slugs, max(0, number - 1))):
        found.append(f"{root}{_SECTIONS[place % len(_SECTIONS)]}/{slug}")
    for place, tail in (
        (7, "?variant=2&color=blue"),
        (9, "#:~:text=free%20shipping"),
        (11, "/caf%C3%A9-größe"),
    ):
        if place < number:
            found[place] += tail
    return found[:number]


def _phrases() -> Iterator[str]:
    for round_, purpose, adjective, noun in (
        (round_, purpose, adjective, noun)
        for round_ in count(1)
        for purpose in _PURPOSES
        for adjective in _ADJECTIVES
        for noun in _NOUNS
    ):
        words = f"{adjective} {noun} {purpose}".strip()
        yield words if round_ == 1 else f"{words} {round_}"


def _words(words: tuple[str, ...]) -> Iterator[str]:
    yield from words
    yield from (f"{word} {number}".strip() for number in count(2) for word in words)
