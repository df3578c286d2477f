-- One attempt at an entry failed: put it back for later, or make it a dead letter.
-- KEYS  stream, bytes, in_flight, history, rate, dead, results.
-- ARGV  group, consumer, id, deliveries, weight, flight, marks of dead and of results (entries, bytes),
--       the attempt (JSON), the reason, its code, attempts allowed (0: none, dead at once), payload, the
--       failed result ('' where there is none) and its weight, lease in ms, number of delays and
--       the delays in ms.
-- Returns {1, attempts, delay} put back, {2, attempts} dead, {0} no longer ours, {-1} full,
--       {-3} an output key holds something else than a stream.
local stream, bytes_key, in_flight, history, rate = key(), key(), key(), key(), key()
local group, consumer, id, deliveries, weight = arg(), arg(), arg(), number(), number()
local flight = arg()
local dead, results = read_mark(bytes_key), read_mark(bytes_key)
local attempt, reason, code, allowed, payload = arg(), arg(), arg(), number(), arg()
local result, result_weight = arg(), number()
local lease, delays = number(), {}
for i = 1, number() do delays[i] = number() end

if not owned(stream, group, consumer, id, deliveries) then return {0} end

local attempts = cjson.decode(redis.call('HGET', history, id) or '[]')
attempts[#attempts + 1] = cjson.decode(attempt)

if #attempts < allowed then
  local delay = delays[math.min(#attempts, #delays)]
  redis.call('HSET', history, id, cjson.encode(attempts))
  -- The lease ends when the delay does: then any consumer reclaims it.
  redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', math.max(0, lease - delay), 'JUSTID')
  return {1, #attempts, delay}
end

for _, mark in ipairs({dead, results}) do
  if mark.problem ~= 0 then return {mark.problem} end
end
if result ~= '' and results.key ~= stream and is_full(results) then return {-1} end

redis.call('XADD', dead.key, '*', 'm', payload, 'n', weight, 'stream', stream,
  'reason', reason, 'code', code, 'history', cjson.encode(attempts))
redis.call('HINCRBY', bytes_key, dead.key, weight)
-- The image's flight goes on with its failed result, which the writer's hand-off ends.
if result ~= '' then
  add(results, result, result_weight)
  count_added(results, bytes_key)
elseif flight ~= '' then
  redis.call('SREM', in_flight, flight)
end
finish(stream, group, {id}, weight, bytes_key, history)
count_finished(rate, stream, 1)
return {2, #attempts}
