-- Remove consumers that are gone: idle long and with nothing pending (DELCONSUMER would drop it).
-- KEYS  stream.   ARGV  group, idle limit in ms.   Returns how many were removed.
local stream, group, limit = key(), arg(), number()
local removed = 0
for _, flat in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
  local consumer = {}
  for i = 1, #flat, 2 do consumer[flat[i]] = flat[i + 1] end
  if consumer.pending == 0 and consumer.idle >= limit then
    redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer.name)
    removed = removed + 1
  end
end
return removed
