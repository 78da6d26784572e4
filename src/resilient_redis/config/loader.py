"""`load_config`: a file or mapping to a checked configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resilient_redis.config.document import Document, Source, read_document
from resilient_redis.config.options import read_followed
from resilient_redis.config.problems import MASK, Fault, Path, is_secret, mask_text
from resilient_redis.config.references import follow, is_reference
from resilient_redis.config.sections import Merged, choose, merge, read_sections
from resilient_redis.config.urls import url_problem
from resilient_redis.errors import ConfigError
from resilient_redis.policies.base import Policy


@dataclass(frozen=True, repr=False)
class ResilienceConfig:
    """What a configuration says, checked, with ``extends`` and references resolved.

    Attributes:
        url: the URL of the server; ``None`` if not given.
        options: keyword arguments for ``redis.Redis``.
        policies: outermost first; ``None`` if not given (the defaults apply), ``()`` for none at all.
        profile: the profile that was used; ``None`` for the top level.
        source: the file as it was given, or ``config`` for a mapping.

    Passwords are masked in its ``repr()``.

    >>> config = load_config({"url": "redis://:secret@db/0", "options": {"password": "x", "db": 1}})
    >>> config  # doctest: +NORMALIZE_WHITESPACE
    ResilienceConfig(url='redis://***@db/0', options={'password': '***', 'db': 1}, policies=None,
                     profile=None, source='config')
    """

    url: str | None
    options: dict[str, Any]
    policies: tuple[Policy, ...] | None
    profile: str | None
    source: str

    def __repr__(self) -> str:
        url = None if self.url is None else mask_text(self.url)
        options = {name: MASK if is_secret(name) else value for name, value in self.options.items()}
        return (
            f"ResilienceConfig(url={url!r}, options={options!r}, policies={self.policies!r}, "
            f"profile={self.profile!r}, source={self.source!r})"
        )


def load_config(source: Source, *, profile: str | None = None) -> ResilienceConfig:
    """Read a configuration and check all of it.

    Args:
        source: a path that ends in .toml, .json, .yaml or .yml (in a ``pyproject.toml`` the table
            ``[tool.resilient_redis]``), or a mapping of the same shape.
        profile: the profile to use. Left out: the top level; if that gives nothing, the profile called
            ``default`` or the only one.

    Raises:
        ConfigError: one or more things are wrong; ``problems`` has one line for each, with file, line and key path.

    >>> config = load_config({
    ...     "url": "redis://localhost:6379",
    ...     "profiles": {
    ...         "base": {"policies": [{"type": "retry"}, {"type": "timeout", "seconds": "250ms"}]},
    ...         "sessions": {"extends": "base", "options": {"db": 2}},
    ...     },
    ... }, profile="sessions")
    >>> config.url, config.options, [policy.label for policy in config.policies]
    ('redis://localhost:6379', {'db': 2}, ['retry', 'timeout'])

    >>> load_config({"policies": [{"type": "retyr"}]})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    resilient_redis.errors.ConfigError: config: policies[0].type: unknown policy "retyr"; did you mean "retry"? ...
    """
    document = read_document(source)
    problems = document.problems
    sections = read_sections(document)
    try:
        chosen = choose(sections, profile, document)
    except ConfigError:
        # Which profile is meant may hang on what is wrong with the document; tell that first.
        problems.stop_if_any()
        raise
    merged = merge(sections, chosen)
    url = _follow_url(merged, document)
    options = {name: _follow_option(name, path, value, document) for name, (path, value) in merged.options.items()}
    problems.stop_if_any()
    return ResilienceConfig(url, options, merged.policies, chosen, problems.name)


def _follow_url(merged: Merged, document: Document) -> str | None:
    if merged.url is None:
        return None
    path, url = merged.url
    if not is_reference(url):
        return url
    text = _follow(url, path, document)
    problem = None if text is None else url_problem(text)
    if problem is not None:
        document.problems.add(path, f"what {url} holds is no usable URL: {problem}")
    return text


def _follow_option(name: str, path: Path, value: Any, document: Document) -> Any:
    if not is_reference(value):
        return value
    text = _follow(value, path, document)
    if text is None:
        return None
    try:
        return read_followed(name, text, value)
    except ValueError as error:
        document.problems.add(path, str(error))
        return None


def _follow(reference: str, path: Path, document: Document) -> str | None:
    try:
        return follow(reference, document.folder)
    except Fault as fault:
        document.problems.add(path, fault.message)
        return None
