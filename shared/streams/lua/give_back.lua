-- Give entries back that are still ours. Their delivery is not counted: poison is what ends those
-- who have it, and however often a consumer that lives gives an entry back, it is none.
-- KEYS  stream.   ARGV  group, consumer, how much of the lease is gone in ms, number of entries, for
--       each: id, deliveries.   Returns the ids that are no longer ours.
local stream, group, consumer, idle = key(), arg(), arg(), arg()
local lost = {}
for _ = 1, number() do
  local id, deliveries = arg(), number()
  if owned(stream, group, consumer, id, deliveries) then
    redis.call('XCLAIM', stream, group, consumer, 0, id,
      'IDLE', idle, 'RETRYCOUNT', deliveries - 1, 'JUSTID')
  else
    lost[#lost + 1] = id
  end
end
return lost
