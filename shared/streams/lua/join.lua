-- Make a group, and its stream where there is none, at its very beginning; also while Redis is full:
-- whoever can free memory must be let in.
-- KEYS  stream, bytes.   ARGV  group.   Returns 1 made, 0 it was there.
local stream, bytes_key = key(), key()
write_also_when_full(bytes_key)
local made = redis.pcall('XGROUP', 'CREATE', stream, arg(), '0', 'MKSTREAM')
if not made.err then return 1 end
if string.find(made.err, 'BUSYGROUP', 1, true) then return 0 end
return made
