-- Reclaim entries whose lease ended, from a cursor on.
-- KEYS  stream, history.
-- ARGV  group, consumer, lease in ms, cursor, count, bytes beyond which no more are taken.
-- Returns the next cursor, then for each entry {id, deliveries, failed attempts, fields}.
local stream, history = key(), key()
local group, consumer, lease, cursor, at_once = arg(), arg(), arg(), arg(), arg()
local room = number()

-- Nobody counts so many; a count near the last of 64 bits would be no exact number here, and no delivery
-- of this entry would ever be known again.
local MOST_DELIVERIES = 1e9

if not holds(history, 'hash') then return redis.error_reply('WRONGTYPE ' .. history) end

local function take(id)
  -- JUSTID leaves the delivery count alone; this raises it and brings the fields.
  local entry = redis.call('XCLAIM', stream, group, consumer, 0, id)[1]
  if not entry then
    -- Deleted by hand; 6.2 keeps it pending for ever, later servers have purged it.
    redis.call('XACK', stream, group, id)
    return
  end
  local deliveries = redis.call('XPENDING', stream, group, id, id, 1)[1][4]
  if deliveries < 1 or deliveries > MOST_DELIVERIES then
    deliveries = MOST_DELIVERIES
    redis.call('XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', '1000000000', 'JUSTID')
  end
  local fields, bytes = kept_of(entry[2])
  room = room - bytes
  return {id, deliveries, #attempts_in(history_of(history, id)), fields}
end

local claimed = redis.call(
  'XAUTOCLAIM', stream, group, consumer, lease, cursor, 'COUNT', at_once, 'JUSTID')
local answer, left = {claimed[1]}, nil
for _, id in ipairs(claimed[2]) do
  if room > 0 then
    answer[#answer + 1] = take(id)
  else
    -- For the next call, or for others, as if it had not been looked at.
    redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', lease, 'JUSTID')
    left = left or id
  end
end
answer[1] = left or answer[1]
return answer
