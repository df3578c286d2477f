-- Drop a dead letter with its bodies.
-- KEYS  bytes, dead, its bodies.   ARGV  id, weight it counted for, number of bodies.
-- Returns 1 done, 0 no such dead letter.
local bytes_key, dead = key(), key()
local id, counted = arg(), number()
local bodies = keys(number())
if redis.call('XDEL', dead, id) == 0 then return 0 end
redis.call('HINCRBY', bytes_key, dead, -counted)
for _, body in ipairs(bodies) do redis.call('UNLINK', body) end
return 1
