-- Leave the group, unless something is still pending for us: that waits for whoever reclaims it.
-- KEYS  stream.   ARGV  group, consumer.   Returns 1 if the consumer is gone.
local stream, group, consumer = key(), arg(), arg()
local pending = redis.pcall('XPENDING', stream, group, '-', '+', 1, consumer)
if pending.err then return 1 end
if #pending > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer)
return 1
