-- Renew leases that are still ours. A plain XCLAIM would steal back what another has reclaimed.
-- KEYS  stream.   ARGV  group, consumer, idle in ms (0 renews; the lease gives the entry back at
-- once), number of entries, for each: id, deliveries.   Returns the ids that are no longer ours.
local stream, group, consumer, idle = key(), arg(), arg(), arg()
local lost = {}
for _ = 1, number() do
  local id, deliveries = arg(), number()
  if owned(stream, group, consumer, id, deliveries) then
    redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', idle, 'JUSTID')
  else
    lost[#lost + 1] = id
  end
end
return lost
