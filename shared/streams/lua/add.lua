-- Add a producer's message, once however often this is sent.
-- KEYS  bytes, in flight, once, the stream, its new payloads.
-- ARGV  marks of the stream (entries, bytes), message, weight, in flight, seconds to remember,
--       number of new payloads, their sizes.
-- Returns 1 added (by this or by the same call before), -4 the same image is under way, -1 full,
--       -2 a payload is missing or of another size, -3 a key holds something else than it should,
--       -5 the stream takes no more ids.
local bytes_key, in_flight, once = key(), key(), key()
local mark = read_mark(bytes_key)
local message, weight, name, seconds = arg(), number(), arg(), arg()
local payloads = keys(number())

if not holds(in_flight, 'set') then return -3 end
if redis.call('EXISTS', once) == 1 then return 1 end
if mark.problem ~= 0 then return mark.problem end
if is_full(mark) then return -1 end
for _, payload in ipairs(payloads) do
  if not is_of_size(payload, number()) then return -2 end
end
if name ~= '' and redis.call('SADD', in_flight, name) == 0 then
  for _, payload in ipairs(payloads) do redis.call('UNLINK', payload) end
  return -4
end
if not add(mark, message, weight) and mark.problem ~= 0 then
  if name ~= '' then redis.call('SREM', in_flight, name) end
  return mark.problem
end
count_added(mark, bytes_key)
for _, payload in ipairs(payloads) do redis.call('PERSIST', payload) end
redis.call('SET', once, '', 'EX', seconds)
return 1
