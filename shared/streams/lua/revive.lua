-- Put a dead letter back at the end of its stream, with its attempts given back.
-- KEYS  bytes, in flight, dead, shed, the stream it came from.
-- ARGV  id of the dead letter, weight it counts for, weight without its bytes, marks of the stream
--       (entries, bytes), message, weight, in flight.
-- Returns 1 done, 0 no such dead letter, -3 the stream's key holds something else, -4 the same
--       image is under way already.
local bytes_key, in_flight, dead, shed = key(), key(), key(), key()
local id, whole, without_bytes = arg(), number(), number()
local mark = read_mark(bytes_key)
local message, weight, name = arg(), number(), arg()

if #redis.call('XRANGE', dead, id, id) == 0 then return 0 end
if mark.problem ~= 0 then return mark.problem end
write_also_when_full(bytes_key)
if name ~= '' and redis.call('SADD', in_flight, name) == 0 then return -4 end
add(mark, message, weight)
count_added(mark, bytes_key)
delete_letter(dead, shed, bytes_key, id, whole, without_bytes)
return 1
