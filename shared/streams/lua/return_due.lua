-- Put entries whose wait is over back at the end of their stream, whatever its mark: they were
-- admitted once, and their own number is bounded.
-- KEYS  stream, bytes, history, due, waiting, waiting of each key, reasons.   ARGV  count.
-- Returns how many came back, -3 where a key holds something else than it should, -5 where the stream
-- takes no more ids.
local stream_key, bytes_key, history = KEYS[1], KEYS[2], KEYS[3]
local due, waiting, of_key, reasons = KEYS[4], KEYS[5], KEYS[6], KEYS[7]

if not (holds(bytes_key, 'hash') and holds(history, 'hash') and holds(due, 'zset')
    and holds(waiting, 'hash') and holds(of_key, 'hash') and holds(reasons, 'hash')) then
  return -3
end
local ids = redis.call('ZRANGEBYSCORE', due, '-inf', now_ms(), 'LIMIT', 0, ARGV[1])
if #ids == 0 then return 0 end
local mark = new_mark(stream_key, 0, 0, bytes_key)
if mark.problem ~= 0 then return mark.problem end
write_also_when_full(bytes_key)

-- What an entry was, as `later` wrote it; nil where that is not so.
local function record_of(id)
  local read, record = pcall(cjson.decode, redis.call('HGET', waiting, id) or '')
  if not read or type(record) ~= 'table' then return nil end
  local weight = tonumber(record.n)
  if type(record.m) ~= 'string' or type(record.key) ~= 'string' or not weight then return nil end
  record.weight = weight
  record.history = type(record.history) == 'string' and record.history or nil
  return record
end

local function one_less(name)
  if count(of_key, name, -1) <= 0 then
    redis.call('HDEL', of_key, name)
    redis.call('HDEL', reasons, name)
  end
end

local freed, answer = 0, #ids
for _, id in ipairs(ids) do
  local record = record_of(id)
  if record then
    local new = add(mark, record.m, record.weight, #attempts_in(record.history))
    if mark.problem ~= 0 then
      answer = mark.problem
      break
    end
    if new and record.history then redis.call('HSET', history, new, record.history) end
    one_less(record.key)
    freed = freed + record.weight
  end
  redis.call('HDEL', waiting, id)
  redis.call('ZREM', due, id)
end
count_added(mark, bytes_key)
count(bytes_key, due, -freed)
return answer
