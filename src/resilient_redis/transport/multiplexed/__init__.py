"""The multiplexed strategy: many callers share a connection, and whatever cannot be shared takes one from the pool.

Pure: `options` (what a user may say), `routing` (what may be shared), `book` (who waits for which reply), `endings`
(what callers are told). For asyncio: `aio_line`, `aio_lines`, `aio_surface`; for threads: `line`, `lines`, `surface`.
"""
