-- Of the entries that wait, make those due now that wait for one key: a part of all at a time, so that
-- no call takes long.
-- KEYS  due, waiting.   ARGV  key, cursor, count.
-- Returns the cursor of the next part ('0' after the last), and how many became due.
local due, waiting = key(), key()
local name, cursor, count = arg(), arg(), arg()

local part = redis.call('HSCAN', waiting, cursor, 'COUNT', count)
local now, found = now_ms(), 0
for i = 1, #part[2], 2 do
  local read, record = pcall(cjson.decode, part[2][i + 1])
  if read and type(record) == 'table' and record.key == name then
    redis.call('ZADD', due, 'XX', 'LT', now, part[2][i])
    found = found + 1
  end
end
return {part[1], found}
