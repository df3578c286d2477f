-- Put an entry off: out of its stream, into the waiting set of a key. It counts no attempt and no
-- delivery, stays in flight and keeps its payloads and its history.
-- KEYS  stream, bytes, in flight, history, rate, due, waiting, waiting of each key, reasons.
-- ARGV  group, consumer, id, deliveries, weight, key, wait in ms, message, reason ('' for none).
-- Returns 1 done, 0 no longer ours, -3 a key holds something else than it should.
local stream, bytes_key, _, history, _ = key(), key(), key(), key(), key()
local due, waiting, of_key, reasons = key(), key(), key(), key()
local group, consumer, id, deliveries, weight = arg(), arg(), arg(), number(), arg()
local name, wait, message, reason = arg(), number(), arg(), arg()

if not (holds(bytes_key, 'hash') and holds(history, 'hash') and holds(due, 'zset')
    and holds(waiting, 'hash') and holds(of_key, 'hash') and holds(reasons, 'hash')) then
  return -3
end
if not owned(stream, group, consumer, id, deliveries) then return 0 end
write_also_when_full(bytes_key)

local record = {m = message, n = weight, key = name, history = history_of(history, id)}
redis.call('HSET', waiting, id, cjson.encode(record))
redis.call('ZADD', due, now_ms() + wait, id)
count(of_key, name, 1)
if reason ~= '' then redis.call('HSET', reasons, name, reason) end
count(bytes_key, due, tonumber(weight))
finish(stream, group, {id}, weight, bytes_key, history)
return 1
