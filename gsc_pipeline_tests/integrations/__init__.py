"""Tests of what other tools build on the lake."""
