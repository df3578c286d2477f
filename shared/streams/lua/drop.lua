-- Drop a dead letter with its payloads.
-- KEYS  bytes, dead, its payloads.   ARGV  id, weight it counted for, number of payloads.
-- Returns 1 done, 0 no such dead letter.
local bytes_key, dead = key(), key()
local id, counted = arg(), number()
local payloads = keys(number())
if redis.call('XDEL', dead, id) == 0 then return 0 end
redis.call('HINCRBY', bytes_key, dead, -counted)
for _, payload in ipairs(payloads) do redis.call('UNLINK', payload) end
return 1
