-- Drop a dead letter with its payloads.
-- KEYS  bytes, dead, shed, its payloads.
-- ARGV  id, weight it counts for, weight without its bytes, number of payloads.
-- Returns 1 done, 0 no such dead letter, -3 a key holds something else than it should.
local bytes_key, dead, shed = key(), key(), key()
local id, whole, without_bytes = arg(), number(), number()
local payloads = keys(number())
if not (holds(dead, 'stream') and holds(bytes_key, 'hash') and holds(shed, 'hash')) then return -3 end
if #redis.call('XRANGE', dead, id, id) == 0 then return 0 end
delete_letter(dead, shed, bytes_key, id, whole, without_bytes)
for _, payload in ipairs(payloads) do redis.call('UNLINK', payload) end
return 1
