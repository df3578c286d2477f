-- Renew leases that are still ours. A plain XCLAIM would steal back what another has reclaimed.
-- KEYS  stream.   ARGV  group, consumer, number of entries, for each: id, deliveries.
-- Returns the ids that are no longer ours.
local stream, group, consumer = key(), arg(), arg()
local lost = {}
for _ = 1, number() do
  local id, deliveries = arg(), number()
  if owned(stream, group, consumer, id, deliveries) then
    redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', 0, 'JUSTID')
  else
    lost[#lost + 1] = id
  end
end
return lost
