"""valkey-glide for threads: one connection for all, driven by a core written in Rust."""

from __future__ import annotations

from benchmarks.contenders._base import KEY, Contender, Opened, Place


class GlideSync(Contender):
    """A client of its own make."""

    name = "valkey-glide-sync"
    package, module = "valkey-glide-sync", "glide_sync"
    aio = False
    goes = 31

    def open(self, place: Place) -> Opened:
        from glide_sync import GlideClient, GlideClientConfiguration, NodeAddress

        address = NodeAddress(place.host, place.port)
        timeout = round(place.deadline * 1000)
        client = GlideClient.create(GlideClientConfiguration([address], request_timeout=timeout))
        return Opened(lambda: client.get(KEY), client.close)
