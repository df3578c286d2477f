-- Reclaim entries whose lease ended, from a cursor on.
-- KEYS  stream, history.
-- ARGV  group, consumer, lease in ms, cursor, count.
-- Returns the next cursor, then for each entry {id, deliveries, failed attempts, fields}.
local stream, history = key(), key()
local group, consumer, lease, cursor, count = arg(), arg(), arg(), arg(), arg()

local claimed = redis.call(
  'XAUTOCLAIM', stream, group, consumer, lease, cursor, 'COUNT', count, 'JUSTID')
local answer = {claimed[1]}
for _, id in ipairs(claimed[2]) do
  -- JUSTID leaves the delivery count alone; this raises it and brings the fields.
  local entry = redis.call('XCLAIM', stream, group, consumer, 0, id)[1]
  if entry then
    local pending = redis.call('XPENDING', stream, group, id, id, 1)[1]
    local failed = cjson.decode(redis.call('HGET', history, id) or '[]')
    answer[#answer + 1] = {id, pending[4], #failed, entry[2]}
  else
    -- Deleted by hand; 6.2 keeps it pending for ever, later servers have purged it.
    redis.call('XACK', stream, group, id)
  end
end
return answer
