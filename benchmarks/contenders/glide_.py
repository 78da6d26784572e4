"""valkey-glide for asyncio: one connection for all, driven by a core written in Rust."""

from __future__ import annotations

from benchmarks.contenders._base import KEY, Contender, Opened, Place


class Glide(Contender):
    """A client of its own make."""

    name = "valkey-glide"
    package, module = "valkey-glide", "glide"
    sync = False
    goes = 31

    async def aopen(self, place: Place) -> Opened:
        from glide import GlideClient, GlideClientConfiguration, NodeAddress

        address = NodeAddress(place.host, place.port)
        timeout = round(place.deadline * 1000)
        client = await GlideClient.create(GlideClientConfiguration([address], request_timeout=timeout))
        return Opened(lambda: client.get(KEY), client.close)
