-- Put entries whose wait is over back at the end of their stream, whatever its mark: they were
-- admitted once, and their own number is bounded.
-- KEYS  stream, bytes, history, due, waiting, waiting of each key, reasons.   ARGV  count.
-- Returns how many came back, or -3 where the stream's key holds something else.
local stream_key, bytes_key, history = KEYS[1], KEYS[2], KEYS[3]
local due, waiting, of_key, reasons = KEYS[4], KEYS[5], KEYS[6], KEYS[7]

local ids = redis.call('ZRANGEBYSCORE', due, '-inf', now_ms(), 'LIMIT', 0, ARGV[1])
if #ids == 0 then return 0 end
local mark = new_mark(stream_key, 0, 0, bytes_key)
if mark.problem ~= 0 then return mark.problem end
write_also_when_full(bytes_key)

local freed = 0
for _, id in ipairs(ids) do
  local text = redis.call('HGET', waiting, id)
  if text then
    local record = cjson.decode(text)
    local attempts = record.history and #cjson.decode(record.history) or 0
    local weight = tonumber(record.n)
    local new = add(mark, record.m, weight, attempts)
    if record.history then redis.call('HSET', history, new, record.history) end
    if redis.call('HINCRBY', of_key, record.key, -1) <= 0 then
      redis.call('HDEL', of_key, record.key)
      redis.call('HDEL', reasons, record.key)
    end
    freed = freed + weight
  end
  redis.call('HDEL', waiting, id)
  redis.call('ZREM', due, id)
end
count_added(mark, bytes_key)
redis.call('HINCRBY', bytes_key, due, -freed)
return #ids
