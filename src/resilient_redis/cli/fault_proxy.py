"""``resilient-redis fault-proxy``: a network that fails on command, before any Redis."""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from resilient_redis.cli import exits
from resilient_redis.cli.fault_proxy_lines import LineError, Step, help_text, span
from resilient_redis.cli.parsing import Parser, UsageError, whole_number
from resilient_redis.testing import FaultProxy
from resilient_redis.testing._spawn import free_port

_SHOWN_EVENTS = 20

_EPILOG = """\
Point your service at the --listen address. While it runs, type controls such
as: refuse, heal, cut_after_request rate=0.1, stats, help, quit.

examples:
  resilient-redis fault-proxy --fault cut_after_request --rate 0.01 --seed 7
  resilient-redis fault-proxy --to 10.0.0.5:6379 --error "LOADING wait" --rate 0.1
  resilient-redis fault-proxy --fault "half_reply nth=3 commands=GET"
  resilient-redis fault-proxy --schedule "5-10 refuse" --schedule "20-25 delay 2"
  echo "refuse" | resilient-redis fault-proxy --json

exit codes: 0 ended by quit; 2 the address is taken; 64 usage; 130 ended by
Ctrl-C, with the figures
"""


class Address(NamedTuple):
    """A host and a port."""

    host: str
    port: int


def add_arguments(parser: Parser) -> None:
    """The proxy's options."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "--listen",
        type=_address,
        default=Address("127.0.0.1", 7000),
        metavar="HOST:PORT",
        help="where your service connects; port 0 is a free one (default: 127.0.0.1:7000)",
    )
    parser.add_argument(
        "--to",
        type=_address,
        default=Address("127.0.0.1", 6379),
        metavar="HOST:PORT",
        help="the real server (default: 127.0.0.1:6379)",
    )
    parser.add_argument("--fault", action="append", default=[], metavar="CONTROL", help="a control to begin with")
    parser.add_argument("--error", action="append", default=[], metavar="TEXT", help='as --fault "reply_error TEXT"')
    parser.add_argument("--rate", type=_rate, metavar="P", help="the probability of each --fault and --error, 0 to 1")
    parser.add_argument(
        "--schedule", action="append", default=[], metavar='"A-B CONTROL"', help="from second A to second B"
    )
    parser.add_argument("--seed", type=whole_number(0, 2**63), metavar="N", help="same seed, same faults")
    parser.add_argument("--allow-remote", action="store_true", help="listen on an address that others can reach")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(arguments: Any) -> int:
    """Run the proxy until it is told to end; the exit code."""
    _check_listen(arguments.listen, allow_remote=arguments.allow_remote)
    listen = arguments.listen
    proxy = FaultProxy(*arguments.to, host=listen.host, port=listen.port or free_port(), seed=arguments.seed)
    show = _show_json if arguments.json else _show_text
    try:
        steps = _steps(arguments)
        try:
            proxy.start()
        except OSError as error:
            print(f"resilient-redis fault-proxy: cannot listen: {error}; choose another --listen", file=sys.stderr)
            return exits.FAILED
        for step in steps:
            step.apply(proxy)
    except LineError as error:
        proxy.close()
        raise UsageError(str(error)) from None
    return _Session(proxy, show).serve()


class _Session:
    """The proxy while it runs: what is typed, and what is shown."""

    def __init__(self, proxy: FaultProxy, show: Callable[[str, dict[str, Any]], None]) -> None:
        self._proxy, self._show = proxy, show
        self._began = time.monotonic()

    def serve(self) -> int:
        proxy = self._proxy
        try:
            listening = {"url": proxy.url, "host": proxy.host, "port": proxy.port, "seed": proxy.seed}
            self._show("listening", listening)
            self._read_controls()
            code = exits.OK
        except KeyboardInterrupt:
            code = exits.INTERRUPTED
        finally:
            figures = self._figures()
            proxy.close()
        self._show("ended", figures)
        return code

    def _read_controls(self) -> None:
        if _may_read_stdin():
            for line in sys.stdin:
                if line.strip() == "quit":
                    return
                if line.strip():
                    self._obey(line)
            if sys.stdin.isatty():
                return
        # Started in the background: nobody types, and Ctrl-C (or a signal) ends it.
        while True:
            time.sleep(3600)

    def _obey(self, line: str) -> None:
        word = line.strip()
        if word == "stats":
            self._show("stats", self._figures())
        elif word == "events":
            self._show("events", {"last": [str(event) for event in self._proxy.events[-_SHOWN_EVENTS:]]})
        elif word == "help":
            self._show("help", {"text": help_text()})
        else:
            self._carry_out(line)

    def _carry_out(self, line: str) -> None:
        try:
            step = Step.read(line)
            result = step.apply(self._proxy)
        except LineError as error:
            self._show("error", {"message": str(error)})
        else:
            self._show("done", {"control": step.name} if result is None else {"control": step.name, "result": result})

    def _figures(self) -> dict[str, Any]:
        proxy = self._proxy
        return {
            "seconds": round(time.monotonic() - self._began, 3),
            "mode": proxy.mode,
            "connections": proxy.connections_opened,
            "open": proxy.open_connections,
            "held": proxy.held,
            "requests": proxy.requests,
            "commands": proxy.commands,
            "faults": proxy.faults,
            "seed": proxy.seed,
        }


def _show_json(kind: str, data: dict[str, Any]) -> None:
    print(json.dumps({"kind": kind, **data}), flush=True)


def _show_text(kind: str, data: dict[str, Any]) -> None:
    if kind == "listening":
        text = f"listening on {data['host']}:{data['port']}, seed {data['seed']}; type help, or Ctrl-C to end"
    elif kind == "done":
        text = f"done: {data['control']}" + (f" ({data['result']})" if "result" in data else "")
    elif kind == "events":
        text = "\n".join(data["last"]) or "nothing yet"
    elif kind in ("help", "error"):
        text = data.get("text") or f"error: {data['message']}"
    else:
        text = f"{kind}:\n" + "\n".join(f"  {key:<12} {_plain(value)}" for key, value in data.items())
    print(text, flush=True)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in sorted(value.items())) or "none"
    return str(value)


def _steps(arguments: Any) -> list[Step]:
    steps = [Step.read(line) for line in arguments.fault if _is_something(line, "--fault")]
    steps += [Step("reply_error", {"text": text}) for text in arguments.error]
    if arguments.rate is not None:
        if not steps:
            raise LineError('--rate is the probability of a fault: add --fault NAME or --error "TEXT"')
        steps = [step.with_limits(rate=arguments.rate) for step in steps]
    return steps + [_scheduled(text) for text in arguments.schedule]


def _scheduled(text: str) -> Step:
    when, _, line = text.strip().partition(" ")
    if not line.strip():
        raise LineError(f'--schedule {text!r}: write the seconds and a control, as in "5-10 refuse"')
    return Step.read(line).with_limits(between=span(when))


def _is_something(line: str, option: str) -> bool:
    if not line.strip():
        raise LineError(f"{option} '' names no control: see --help")
    return True


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isdigit() and int(port) < 65536) or "/" in host:
        raise argparse.ArgumentTypeError(f"{text!r} is no address: write HOST:PORT, as in 127.0.0.1:7000")
    return Address(host, int(port))


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no probability: write a number from 0 to 1")
    return value


def _check_listen(address: Address, *, allow_remote: bool) -> None:
    if allow_remote or _is_loopback(address.host):
        return
    raise UsageError(
        f"--listen {address.host}:{address.port}: others could reach your Redis through it, without TLS; "
        "listen on 127.0.0.1, or add --allow-remote"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _may_read_stdin() -> bool:
    try:
        # A process in the background that reads its terminal is stopped by the system.
        return not sys.stdin.isatty() or os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError, AttributeError):  # closed, or None
        return False
