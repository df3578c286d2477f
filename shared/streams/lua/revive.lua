-- Put a dead letter back at the end of its stream, with its attempts given back.
-- KEYS  bytes, in flight, dead, shed, the stream it came from.
-- ARGV  id of the dead letter, weight it counts for, weight without its bytes, marks of the stream
--       (entries, bytes), message, weight, in flight.
-- Returns 1 done, 0 no such dead letter, -3 a key holds something else than it should, -4 the same
--       image is under way already, -5 the stream takes no more ids.
local bytes_key, in_flight, dead, shed = key(), key(), key(), key()
local id, whole, without_bytes = arg(), number(), number()
local mark = read_mark(bytes_key)
local message, weight, name = arg(), number(), arg()

if not (holds(in_flight, 'set') and holds(dead, 'stream') and holds(shed, 'hash')) then return -3 end
if #redis.call('XRANGE', dead, id, id) == 0 then return 0 end
if mark.problem ~= 0 then return mark.problem end
write_also_when_full(bytes_key)
if name ~= '' and redis.call('SADD', in_flight, name) == 0 then return -4 end
if not add(mark, message, weight) and mark.problem ~= 0 then
  if name ~= '' then redis.call('SREM', in_flight, name) end
  return mark.problem
end
count_added(mark, bytes_key)
delete_letter(dead, shed, bytes_key, id, whole, without_bytes)
return 1
