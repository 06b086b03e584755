"""The headline figures: overlapping properties are counted once, and equal windows are compared."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from gsc_pipeline.report.totals import (
    Comparison,
    Totals,
    choose,
    current_clicks,
    headline,
    headlines,
    outermost,
)
from gsc_pipeline.workspaces.thresholds import Thresholds

LAST = pd.Timestamp("2026-11-17")


def daily(
    days: int, *, clicks: int = 10, site_url: str = "sc-domain:acme.com", provisional: int = 0
) -> pd.DataFrame:
    dates = pd.date_range(end=LAST + pd.Timedelta(days=provisional), periods=days + provisional)
    return pd.DataFrame(
        {
            "site_url": site_url,
            "search_type": "WEB",
            "data_date": dates,
            "is_final": dates <= LAST,
            "clicks": 10,
            "impressions": 100,
            "position": 4.0,
        }
    )


@pytest.mark.parametrize(
    ("properties", "outer"),
    [
        (["sc-domain:acme.com", "https://shop.acme.com/", "sc-domain:shop.acme.com"], ["sc-domain:acme.com"]),
        (["https://acme.com/", "https://acme.com/blog/"], ["https://acme.com/"]),
        (["https://acme.com/", "https://www.acme.com/"], ["https://acme.com/", "https://www.acme.com/"]),
        (["sc-domain:acme.com", "https://notacme.com/"], ["https://notacme.com/", "sc-domain:acme.com"]),
        (["https://acme.com/", "sc-domain:acme.com"], ["sc-domain:acme.com"]),
    ],
)
def test_a_property_inside_another_is_not_counted_twice(properties: list[str], outer: list[str]) -> None:
    assert outermost(properties) == outer


def test_the_headline_covers_final_days_and_compares_equal_windows() -> None:
    rows = pd.concat([daily(56, provisional=2)])
    rows.loc[rows["data_date"] <= LAST - pd.Timedelta(days=28), "clicks"] = 5
    found = headline(rows, Thresholds())
    assert found is not None
    assert (found.first, found.last) == (date(2026, 10, 21), date(2026, 11, 17))
    assert (found.totals.clicks, found.totals.impressions, found.totals.position) == (280, 2800, 4.0)
    assert found.totals.ctr == pytest.approx(0.1)
    assert found.previous is not None
    assert found.previous.change("clicks") == pytest.approx(1.0)
    assert found.previous.change("position") == 0
    assert found.year is None


def test_a_comparison_needs_the_days_of_every_property() -> None:
    young = daily(28, site_url="sc-domain:young.com")
    found = headline(pd.concat([daily(56), young]), Thresholds())
    assert found is not None
    assert found.totals.clicks == 560
    assert found.previous is None
    assert headline(daily(0), Thresholds()) is None


def test_the_change_from_zero_is_none() -> None:
    rows = daily(56)
    rows.loc[rows["data_date"] <= LAST - pd.Timedelta(days=28), ["clicks", "impressions", "position"]] = [
        0,
        0,
        None,
    ]
    found = headline(rows, Thresholds())
    assert found is not None
    assert found.previous is not None
    assert [found.previous.change(name) for name in ("clicks", "impressions", "ctr", "position")] == [
        None
    ] * 4


@pytest.mark.parametrize(("clicks", "is_written"), [(1, False), (9, False), (10, True)])
def test_a_change_against_few_clicks_has_no_percentage(clicks: int, is_written: bool) -> None:
    compared = Comparison(Totals(0, 8, 8.5), Totals(clicks, 11, 7.3))
    assert compared.change("clicks") == (-1.0 if is_written else None)
    assert compared.change("ctr") == (-1.0 if is_written else None)
    assert compared.change("impressions") == pytest.approx(-3 / 11)
    assert Comparison(Totals(0, 8, 8.5), Totals(0, 9, 7.3)).change("position") is None


def test_the_figures_of_many_workspaces_are_those_of_each_alone() -> None:
    late = daily(200, site_url="https://late.com/")
    late["data_date"] -= pd.Timedelta(days=40)
    several = {
        "acme": pd.concat([daily(56, provisional=2), daily(30, site_url="https://acme.org/")]),
        "late": late,
        "old": daily(500, site_url="https://old.com/"),
        "none": daily(0, provisional=3, site_url="https://none.com/"),
    }
    rows = pd.concat([frame.assign(workspace=name) for name, frame in several.items()], ignore_index=True)
    alone = {name: headline(frame, Thresholds()) for name, frame in several.items()}
    assert headlines(rows, Thresholds()) == {name: one for name, one in alone.items() if one}
    assert alone["none"] is None
    assert alone["old"] is not None
    assert alone["old"].year is not None


def test_web_search_is_chosen_before_other_types_and_its_inner_properties_are_left_out() -> None:
    domain, shop, news = "sc-domain:acme.com", "https://shop.acme.com/", "sc-domain:news.com"
    assert choose({(domain, "WEB"): 1, (shop, "WEB"): 1, (news, "DISCOVER"): 9}) == ("WEB", [domain])
    assert choose({(domain, "IMAGE"): 1, (news, "DISCOVER"): 9}) == ("DISCOVER", [news])


def test_current_clicks_leave_out_what_ended_before_the_window() -> None:
    ended = daily(60, site_url="https://ended.com/")
    ended["data_date"] -= pd.Timedelta(days=28)
    rows = pd.concat([daily(60), ended], ignore_index=True).assign(workspace="acme")
    assert current_clicks(rows, Thresholds()) == {"acme": {("sc-domain:acme.com", "WEB"): 280}}
