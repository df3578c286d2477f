-- Add a producer's message, once however often this is sent.
-- KEYS  bytes, in_flight, once, the stream, its new payloads.
-- ARGV  marks of the stream (entries, bytes), payload, weight, flight, seconds to remember,
--       number of new payloads.
-- Returns 1 added, 0 it was added before or is under way, -1 full, -2 a payload is missing, -3 the
--       key holds something else than a stream.
local bytes_key, in_flight, once = key(), key(), key()
local mark = read_mark(bytes_key)
local payload, weight, flight, seconds = arg(), number(), arg(), arg()
local payloads = keys(number())

if redis.call('EXISTS', once) == 1 then return 0 end
if mark.problem ~= 0 then return mark.problem end
if is_full(mark) then return -1 end
for _, payload in ipairs(payloads) do
  if redis.call('EXISTS', payload) == 0 then return -2 end
end
if flight ~= '' and redis.call('SADD', in_flight, flight) == 0 then
  for _, payload in ipairs(payloads) do redis.call('UNLINK', payload) end
  return 0
end
add(mark, payload, weight)
count_added(mark, bytes_key)
for _, payload in ipairs(payloads) do redis.call('PERSIST', payload) end
redis.call('SET', once, '', 'EX', seconds)
return 1
