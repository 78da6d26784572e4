"""Descriptions of what no docstring of ours describes: the sections, and redis-py's own options."""

from __future__ import annotations

SECTIONS: dict[str, str] = {
    "url": "Where the server is: redis://, rediss:// (TLS) or unix://. May stand elsewhere: env:NAME, file:PATH.",
    "strategy": 'How connections are shared: "pooled" (default: each call borrows one) or "multiplexed" (many callers '
    "share few).",
    "multiplexed": "Numbers of the multiplexed strategy; alone they choose it.",
    "options": "Plain keyword arguments of redis.Redis. Each may stand elsewhere: env:NAME, file:PATH.",
    "pool": "Bounds, life and habits of the connection pool.",
    "budget": "A limit of connections over several processes; a list: all of them must agree.",
    "policies": "What happens to each call, outermost first. Left out: the default stack; []: none at all.",
    "commands": 'Other numbers for single commands, by name or glob ("H*"). A text alone is the class.',
    "listeners": "Names of listeners that hear every event: those of installed packages, or registered in code.",
    "$schema": "Where an editor finds this schema. It says nothing of a client.",
    "lint": "What surrounds this configuration, for `resilient-redis check-config`, and which findings are known.",
    "profiles": "Named variants: each has what the top level has, or what it extends, and changes some of it.",
    "extends": "The profile from which this one has what it does not say itself.",
    "breakers": 'Circuit breakers that profiles share, by name: policies = [{ use = "NAME" }].',
    "budgets": 'Budgets that profiles share, by name: budget = { use = "NAME" }.',
}

OPTIONS: dict[str, str] = {
    "host": "Name or address of the server; default localhost.",
    "port": "Default 6379.",
    "db": "Number of the database; default 0.",
    "username": "The user's name for AUTH (ACL).",
    "password": "For AUTH. Better elsewhere: env:REDIS_PASSWORD, or file:/run/secrets/redis.",
    "unix_socket_path": "A Unix socket instead of host and port.",
    "client_name": "What CLIENT LIST shows.",
    "lib_name": "The library's name in CLIENT LIST.",
    "lib_version": "The library's version in CLIENT LIST.",
    "protocol": "RESP version, 2 or 3.",
    "legacy_responses": "Replies in the shape of older redis-py.",
    "decode_responses": "Replies as text instead of bytes; default false.",
    "encoding": "For text; default utf-8.",
    "encoding_errors": "As in str.encode; default strict.",
    "socket_timeout": "The longest wait for each part of a reply.",
    "socket_connect_timeout": "The longest wait for a connection.",
    "socket_read_size": "Bytes per read.",
    "socket_keepalive": "TCP keepalive: notices a peer that is gone.",
    "socket_keepalive_options": "Numbers of TCP keepalive by their names, such as TCP_KEEPIDLE.",
    "health_check_interval": "PING a connection that was idle for so long before it is used; 0 (default): never.",
    "single_connection_client": "Keep one connection for this client alone.",
    "retry_on_timeout": "redis-py's own; policies say it better.",
    "ssl": "TLS; rediss:// says the same.",
    "ssl_keyfile": "The client's key.",
    "ssl_certfile": "The client's certificate.",
    "ssl_cert_reqs": "How the server's certificate is checked; default required.",
    "ssl_include_verify_flags": "Names of ssl.VerifyFlags to set.",
    "ssl_exclude_verify_flags": "Names of ssl.VerifyFlags to clear.",
    "ssl_ca_certs": "File with the authorities to trust.",
    "ssl_ca_path": "Folder with the authorities to trust.",
    "ssl_ca_data": "The authorities to trust, as PEM text.",
    "ssl_check_hostname": "Must the certificate name the host?",
    "ssl_password": "For the client's key.",
    "ssl_validate_ocsp": "Ask whether the certificate was revoked.",
    "ssl_validate_ocsp_stapled": "The same by what the server brings with it.",
    "ssl_ocsp_expected_cert": "The certificate that OCSP answers must name.",
    "ssl_min_version": "The oldest TLS to accept.",
    "ssl_ciphers": "Ciphers, as OpenSSL writes them.",
}
"""By option. Those of the pool are described by `PoolOptions`."""

COMMANDS: dict[str, str] = {
    "class": "What comes of the command if it runs twice; the last three are never repeated.",
    "timeout": "Instead of the seconds of every Timeout; a blocking command's own time comes on top.",
    "deadline": "Seconds from the call's start to its end, whatever the policies say.",
    "attempts": "Instead of the attempts of every Retry; 1: not repeated.",
    "repeat": "After a lost reply, repeat up to this class.",
    "fallback": "What a Fallback answers.",
}

USE = "The name of the one under [{}] that is meant."
