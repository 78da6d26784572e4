"""`load_config`: a file or mapping, and the environment, to a checked configuration."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from resilient_redis.config.address import settle
from resilient_redis.config.budget_tables import build_budgets
from resilient_redis.config.command_tables import check_rules
from resilient_redis.config.configuration import ResilienceConfig
from resilient_redis.config.document import Document, Source, empty_document, read_document
from resilient_redis.config.environment import (
    FILE_VARIABLE,
    LAYERS,
    NESTED,
    PROFILE_VARIABLE,
    Environment,
    patched_policies,
    read_environment,
)
from resilient_redis.config.explain import origins_of
from resilient_redis.config.merging import Merged, Placed, merge
from resilient_redis.config.options import check_pool, read_followed
from resilient_redis.config.problems import Fault, Path
from resilient_redis.config.references import follow, is_reference
from resilient_redis.config.sections import Section, Sections, chain_of, choose, read_section, read_sections
from resilient_redis.config.strategy_table import build_strategy
from resilient_redis.config.url_query import url_problems, without_tls
from resilient_redis.errors import ConfigError


def load_config(
    source: Source | None = None, *, profile: str | None = None, environ: Mapping[str, str] | None = None
) -> ResilienceConfig:
    """Read a configuration and check all of it.

    Variables win over the file, one by one: first ``RESILIENT_REDIS__POOL__MIN_IDLE`` (any key, its parts joined by
    two underscores), then ``REDIS_HOST``, ``REDIS_PORT``, ``REDIS_PASSWORD``, ``REDIS_POOL_ENABLED``,
    ``REDIS_POOL_MAX_PER_WORKER``, ``REDIS_POOL_ABSOLUTE_MAX``, ``REDIS_CONNECT_TIMEOUT`` and
    ``REDIS_COMMAND_TIMEOUT`` (both in milliseconds), then ``REDIS_URL``.

    Args:
        source: a path that ends in .toml, .json, .yaml or .yml (in a ``pyproject.toml`` the table
            ``[tool.resilient_redis]``), or a mapping of the same shape. ``None``: the file that the variable
            ``RESILIENT_REDIS_CONFIG`` names, if it is set.
        profile: the profile to use. Left out: the top level; if that gives nothing, the profile called
            ``default`` or the only one. With ``RESILIENT_REDIS_CONFIG``, ``RESILIENT_REDIS_PROFILE`` may name it.
        environ: the variables; ``None`` for those of the process, ``{}`` for none. A reference such as
            ``env:REDIS_PASSWORD`` in the document is looked up here, then in the process.

    Raises:
        ConfigError: one or more things are wrong; ``problems`` has one line for each, with file and line, or the
            variable's name, and the key path.

    >>> config = load_config({
    ...     "url": "redis://localhost:6379",
    ...     "profiles": {
    ...         "base": {"policies": [{"type": "retry"}, {"type": "timeout", "seconds": "250ms"}]},
    ...         "sessions": {"extends": "base", "options": {"db": 2}},
    ...     },
    ... }, profile="sessions", environ={"RESILIENT_REDIS__POOL__MIN_IDLE": "2"})
    >>> config.url, config.options, config.pool, [policy.label for policy in config.policies]
    ('redis://localhost:6379', {'db': 2}, {'min_idle': 2}, ['retry', 'timeout'])

    >>> load_config({"policies": [{"type": "retyr"}]})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    resilient_redis.errors.ConfigError: config: policies[0].type: unknown policy "retyr"; did you mean "retry"? ...
    """
    variables = os.environ if environ is None else environ
    if source is None:
        source = variables.get(FILE_VARIABLE) or None
        if source is not None and profile is None:
            profile = variables.get(PROFILE_VARIABLE) or None
    read = _read(source, variables)
    chosen = None if source is None and profile is None else _choose(read.sections, profile, read.document)
    return _config_of(read, chosen)


def load_profiles(
    source: Source, *, environ: Mapping[str, str] | None = None
) -> dict[str | None, ResilienceConfig | ConfigError]:
    """Each way to use a document, read once: the top level (``None``), if it says anything, and all profiles.

    Args:
        source: as for `load_config`.
        environ: as for `load_config`.

    Returns:
        the configurations by the profile's name; the error in place of one that is wrong.

    Raises:
        ConfigError: the document cannot be read, or says nothing.

    >>> found = load_profiles({"profiles": {"a": {"url": "redis://a"}, "b": {"url": "env:T_NONE"}}}, environ={})
    >>> found["a"].url, type(found["b"]).__name__
    ('redis://a', 'ConfigError')
    """
    read = _read(source, os.environ if environ is None else environ)
    sections = read.sections
    names: list[str | None] = list(sections.profiles)
    if not sections.top.empty:
        names.insert(0, None)
    if not names:
        return {None: _config_of(read, _choose(sections, None, read.document))}
    found: dict[str | None, ResilienceConfig | ConfigError] = {}
    for name in names:
        try:
            found[name] = _config_of(read.copy(), name)
        except ConfigError as error:
            found[name] = error
    return found


@dataclasses.dataclass(frozen=True)
class _Read:
    """A document that was read and checked, before it is known which profile is meant."""

    document: Document
    variables: Environment
    sections: Sections

    def copy(self) -> _Read:
        """One that a profile may add its own problems to."""
        return _Read(
            dataclasses.replace(self.document, problems=self.document.problems.copy()),
            dataclasses.replace(
                self.variables, layers={name: {**table} for name, table in self.variables.layers.items()}
            ),
            self.sections,
        )


def _read(source: Source | None, variables: Mapping[str, str]) -> _Read:
    document = empty_document() if source is None else read_document(source)
    document = dataclasses.replace(document, environ={**os.environ, **variables})
    found = read_environment(variables, document)
    return _Read(document, found, read_sections(document))


def _config_of(read: _Read, chosen: str | None) -> ResilienceConfig:
    document, found, sections = read.document, read.variables, read.sections
    chain = chain_of(sections, chosen)
    written = next((section for section in chain if section.policies is not None), None)
    patched = patched_policies(
        found.patches,
        found.layers[NESTED].get("policies", None if written is None else written.table["policies"]),
        () if written is None or "policies" in found.layers[NESTED] else (*written.path, "policies"),
        document.problems,
    )
    if patched is not None:
        found.layers[NESTED]["policies"] = patched
    over = [read_section(found.layers[layer], (layer,), document.problems, sections.shared) for layer in LAYERS]
    return _build([*over, *chain], sections, chosen, document)


def _choose(sections: Sections, profile: str | None, document: Document) -> str | None:
    try:
        return choose(sections, profile, document)
    except ConfigError:
        # Which profile is meant may hang on what is wrong with the document; tell that first.
        document.problems.stop_if_any()
        raise


def _build(
    nearest_first: list[Section], sections: Sections, chosen: str | None, document: Document
) -> ResilienceConfig:
    problems = document.problems
    merged = merge(nearest_first, problems)
    url = _follow_url(merged, document)
    options, pool = _follow_all(merged.options, document), _follow_all(merged.pool, document)
    check_pool({name: (pool[name], path) for name, (path, _) in merged.pool.items()}, ("pool",), problems)
    budgets = build_budgets(merged.budgets, sections.shared.budgets, problems.name, problems)
    if merged.policies is not None:
        check_rules(merged.commands, merged.policies, merged.command_places, problems)
    if merged.url is not None and url is not None and not options.get("ssl"):
        for problem in without_tls(url):
            problems.add(merged.url[0], problem)
    problems.stop_if_any()
    multiplexed = {name: value for name, (_, value) in merged.multiplexed.items()}
    below = merged.url_depth if url is not None else merged.depths.get("unix_socket_path", 0)
    url = settle(url, options, [name for name in options if merged.depths[name] < below])
    merged = dataclasses.replace(merged, options={name: merged.options[name] for name in options})
    return ResilienceConfig(
        url=url,
        options=options,
        policies=merged.policies,
        profile=chosen,
        source=problems.name,
        pool=pool,
        strategy=build_strategy(None if merged.strategy is None else merged.strategy[1], multiplexed),
        budgets=budgets,
        commands=merged.commands,
        listeners=merged.listeners or (),
        lint=merged.lint,
        origins=origins_of(merged, problems, sections.shared),
    )


# --- references -------------------------------------------------------------------------------------------------


def _follow_url(merged: Merged, document: Document) -> str | None:
    if merged.url is None:
        return None
    path, url = merged.url
    if not is_reference(url):
        return url
    text = _follow(url, path, document)
    for problem in () if text is None else url_problems(text):
        document.problems.add(path, f"what {url} holds is no usable URL: {problem}")
    return text


def _follow_all(placed: Placed, document: Document) -> dict[str, Any]:
    return {name: _follow_option(name, path, value, document) for name, (path, value) in placed.items()}


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
        return follow(reference, document.folder, document.environ)
    except Fault as fault:
        document.problems.add(path, fault.message)
        return None
