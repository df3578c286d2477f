-- Give back an entry that another version of the program is to handle. Its delivery is not counted:
-- however often consumers of this version come across it, it does not become poison.
-- KEYS  stream.   ARGV  group, consumer, id, deliveries, idle in ms.
-- Returns 1 done, 0 no longer ours.
local stream, group, consumer, id = key(), arg(), arg(), arg()
local deliveries, idle = number(), arg()
if not owned(stream, group, consumer, id, deliveries) then return 0 end
redis.call('XCLAIM', stream, group, consumer, 0, id,
  'IDLE', idle, 'RETRYCOUNT', deliveries - 1, 'JUSTID')
return 1
