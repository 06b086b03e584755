"""Insights: findings computed from a workspace's rows, and the tables that hold them.

A module per table holds its definition as a pure function of frames; `refresh` computes and stores them all.
"""
