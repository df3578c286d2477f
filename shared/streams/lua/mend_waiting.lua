-- Bring what is counted of the entries that wait into line with those that do: somebody may have deleted
-- or written over when they are due, or how many wait for what.
-- KEYS  due, waiting, waiting of each key, reasons.   Returns how many are due now that never were.
local due, waiting, of_key, reasons = key(), key(), key(), key()

local number_waiting, number_told = redis.call('HLEN', waiting), 0
if redis.call('HLEN', of_key) <= 1000 then
  for _, told in ipairs(redis.call('HVALS', of_key)) do
    number_told = number_told + (#told < 10 and string.match(told, '^%d+$') or -1)
  end
else
  number_told = -1
end
local function is_in_line()
  if number_told ~= number_waiting or redis.call('ZCARD', due) ~= number_waiting then return false end
  for _, id in ipairs(redis.call('HRANDFIELD', waiting, 100)) do
    if not redis.call('ZSCORE', due, id) then return false end
  end
  return true
end

-- No wait of ours is so long.
local tomorrow = '(' .. string.format('%.0f', now_ms() + 86400000)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, tomorrow, '+inf', 'LIMIT', 0, 100)) do
  redis.call('ZADD', due, now_ms(), id)
end
if is_in_line() then return 0 end

local waits, found = {}, 0
local cursor = '0'
repeat
  local part = redis.call('HSCAN', waiting, cursor, 'COUNT', 100)
  cursor = part[1]
  for i = 1, #part[2], 2 do
    found = found + redis.call('ZADD', due, 'NX', now_ms(), part[2][i])
    local read, record = pcall(cjson.decode, part[2][i + 1])
    if read and type(record) == 'table' and type(record.key) == 'string' then
      waits[record.key] = (waits[record.key] or 0) + 1
    end
  end
until cursor == '0'
if redis.call('ZCARD', due) > number_waiting then
  for _, id in ipairs(redis.call('ZRANGE', due, 0, -1)) do
    if redis.call('HEXISTS', waiting, id) == 0 then redis.call('ZREM', due, id) end
  end
end
redis.call('UNLINK', of_key)
for name, many in pairs(waits) do redis.call('HSET', of_key, name, many) end
if number_waiting == 0 then redis.call('UNLINK', due, reasons) end
return found
