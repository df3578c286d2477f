-- Bring dead letters back within their bounds, as far as these letters do, oldest first: take their
-- payloads, or all of them.
-- KEYS  bytes, dead, shed, the payloads, letter by letter.
-- ARGV  bounds (entries, bytes), 1 to take letters or 0 to take their payloads, number of letters,
--       for each: id, weight it counts for, weight without its bytes, number of payloads.
-- Returns how many were looked at before the bounds held, and how many of them lost something: none of
-- any, where a key holds something else than it should.
local bytes_key, dead, shed = key(), key(), key()
local entries, bytes, takes_letters = number(), number(), number() == 1

if not (holds(bytes_key, 'hash') and holds(dead, 'stream') and holds(shed, 'hash')) then return {0, 0} end
write_also_when_full(bytes_key)
local letters, lost = number(), 0
for i = 1, letters do
  local id, whole, without_bytes = arg(), number(), number()
  local payloads = keys(number())
  local held = counted(bytes_key, dead)
  if redis.call('XLEN', dead) <= entries and held <= bytes then return {i - 1, lost} end
  local there = #redis.call('XRANGE', dead, id, id) > 0
  if there and takes_letters then
    for _, payload in ipairs(payloads) do redis.call('UNLINK', payload) end
    delete_letter(dead, shed, bytes_key, id, whole, without_bytes)
    count(shed, 'letters', 1)
    lost = lost + 1
  elseif there and has_bytes(dead, shed, id) then
    for _, payload in ipairs(payloads) do redis.call('UNLINK', payload) end
    count(bytes_key, dead, without_bytes - whole)
    redis.call('HSET', shed, 'last', id)
    if #payloads > 0 then
      count(shed, 'bytes', 1)
      lost = lost + 1
    end
  end
end
return {letters, lost}
