"""Tests of what happens to text before it leaves the process."""
