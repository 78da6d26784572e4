"""The one script of `RedisBudget`: who holds how many slots, until when. Tried on Redis 7 and Valkey 9.

The key is a hash: a field for each holder with ``slots expiry sequence`` (expiry in ms by the server's clock), and
``born``, when the key was made. One key, so it works in a cluster, and one command, so it is atomic.
"""

from __future__ import annotations

LEASE = """
local holder, sequence = ARGV[1], tonumber(ARGV[2])
local have, want = tonumber(ARGV[3]), tonumber(ARGV[4])
local shared, floor, workers = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local ttl, grace = tonumber(ARGV[8]), tonumber(ARGV[9])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local born, others, holders, mine, newest = nil, 0, 1, 0, -1
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local name, value = fields[i], fields[i + 1]
  if name == 'born' then
    born = tonumber(value)
  else
    local slots, expiry, seq = string.match(value, '^(%d+) (%d+) (%d+)$')
    if not slots or tonumber(expiry) <= now then
      redis.call('HDEL', KEYS[1], name)
    elseif name == holder then
      mine, newest = tonumber(slots), tonumber(seq)
    else
      others, holders = others + slots, holders + 1
    end
  end
end

-- A request that was overtaken by a later one (it lay in the socket of a stalled server) must change nothing, and
-- the same one sent twice is answered twice.
if sequence <= newest then
  return {sequence == newest and 1 or 0, mine, others, holders, 0}
end
if not born then
  born = now
  redis.call('HSET', KEYS[1], 'born', string.format('%.0f', now))
end

-- What the holder has is a fact, even if this key does not know of it (lost, or expired): its connections are open.
local granted = math.min(have, want)
local wait = math.max(0, born + grace - now)
if want > have then
  -- A new key may be one that was lost: until every lease of then has run out, nothing more is granted.
  local room = shared - floor * math.max(0, holders - workers) - others - have
  granted = have
  if wait == 0 and room > 0 then
    granted = have + math.min(want - have, room)
  end
end

redis.call('HSET', KEYS[1], holder, string.format('%d %.0f %d', granted, now + ttl, sequence))
redis.call('PEXPIRE', KEYS[1], 604800000)
return {1, granted, others, holders, wait}
"""
"""KEYS: the hash. ARGV: holder, sequence, have, want, shared, floor, max_workers, ttl ms, grace ms.

Answers: taken notice of (1) or overtaken (0); slots of this holder; slots of all others; holders; ms until a new key
grants more than its holders say they have."""

LEAVE = """
return redis.call('HDEL', KEYS[1], ARGV[1])
"""
