"""Reads YAML files strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from gsc_pipeline.settings import ConfigurationError


def read_yaml(path: Path, next_step: str) -> Any:
    """The document in a YAML file, read strictly.

    Raises ConfigurationError; it names `next_step` if the file cannot be read.
    """
    return parse_yaml(read_text(path, next_step), path)


def read_text(path: Path, next_step: str) -> str:
    """The text of a file. Raises ConfigurationError as `read_yaml` does."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigurationError(str(path), [f"cannot be read ({cause}): {next_step}"]) from None


def parse_yaml(text: str, path: Path) -> Any:
    """The document in the text of a YAML file at `path`, read strictly. Raises ConfigurationError."""
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigurationError(str(path), [f"not valid YAML: {_yaml_problem(error)}"]) from None


class _StrictLoader(yaml.SafeLoader):
    """The safe loader, made strict where it is not.

    It refuses duplicate keys, of which the safe loader keeps the last. Text that only looks like a date or a
    number (2026-99-99) is a YAML error with a line, not a ValueError.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"key {key.value!r} given twice", problem_mark=key.start_mark
                    )
                seen.add((key.tag, key.value))
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, TypeError, AttributeError):
            kind = node.tag.rpartition(":")[2]
            raise yaml.MarkedYAMLError(
                problem=f"{node.value!r} cannot be read as {kind}", problem_mark=node.start_mark
            ) from None


def _yaml_problem(error: yaml.YAMLError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    mark = getattr(error, "problem_mark", None)
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return f"{problem.removeprefix('but ')}{where}"
