-- One attempt at an entry failed: put it back for later, or make it a dead letter.
-- KEYS  stream, bytes, in flight, history, rate, dead, results.
-- ARGV  group, consumer, id, deliveries, weight, in flight, marks of dead and of results (entries,
--       bytes), the attempt (JSON), the reason, its code, idle time in ms that puts it back (-1:
--       make it a dead letter), message, the failed result ('' where there is none), its weight.
-- Returns 2 put back, 3 dead, 0 no longer ours, -1 full, -3 a key holds something else than it should,
--       -5 a stream takes no more ids.
local stream, bytes_key, in_flight, history, rate = key(), key(), key(), key(), key()
local group, consumer, id, deliveries, weight = arg(), arg(), arg(), number(), number()
local name = arg()
local dead, results = read_mark(bytes_key), read_mark(bytes_key)
local attempt, reason, code, idle, message = arg(), arg(), arg(), number(), arg()
local result, result_weight = arg(), number()

if not (holds(bytes_key, 'hash') and holds(in_flight, 'set') and holds(history, 'hash')
    and holds(rate, 'hash')) then
  return -3
end
if not owned(stream, group, consumer, id, deliveries) then return 0 end
write_also_when_full(bytes_key)

local attempts = attempts_in(history_of(history, id))
attempts[#attempts + 1] = cjson.decode(attempt)

if idle >= 0 then
  redis.call('HSET', history, id, cjson.encode(attempts))
  -- The lease ends when the delay does: then any consumer reclaims it.
  redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', idle, 'JUSTID')
  return 2
end

for _, mark in ipairs({dead, results}) do
  if mark.problem ~= 0 then return mark.problem end
end
if result ~= '' and results.key ~= stream and is_full(results) then return -1 end

local told = cjson.encode(attempts)
local dead_weight = math.max(weight, #message) + #told + #reason
local letter = add_fields(dead, 'm', message, 'n', dead_weight, 'stream', stream,
  'reason', reason, 'code', code, 'history', told)
if not letter then return dead.problem end
-- The image stays in flight with its failed result, until the writer hands that off.
if result ~= '' and not add(results, result, result_weight) and results.problem ~= 0 then
  undo(dead, letter, dead_weight)
  return results.problem
end
count(bytes_key, dead.key, dead_weight)
if result ~= '' then
  count_added(results, bytes_key)
elseif name ~= '' then
  redis.call('SREM', in_flight, name)
end
finish(stream, group, {id}, weight, bytes_key, history)
count_finished(rate, stream, 1)
return 3
