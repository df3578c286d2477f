-- How a stream stands; and where its group was set past entries that nobody has, it is set back to them:
-- what is finished is deleted, so that an entry behind the group's place is pending, or was passed over.
-- KEYS  the stream, due.   ARGV  group.
-- Returns its length, how many entries wait outside of it, the ms in the id of its first entry (-1: there
-- is none), and 1 if the group was set back.
local stream, due, group = key(), key(), arg()

-- Whether one id comes before another: numbers of 64 bits, which Lua cannot hold.
local function comes_before(one, other)
  local ms, number_in_ms = string.match(one, '^(%d+)%-(%d+)$')
  local other_ms, other_number = string.match(other, '^(%d+)%-(%d+)$')
  if ms == other_ms then ms, other_ms = number_in_ms, other_number end
  if #ms ~= #other_ms then return #ms < #other_ms end
  return ms < other_ms
end

local function place_of_group()
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local told = {}
    for i = 1, #flat, 2 do told[flat[i]] = flat[i + 1] end
    if told.name == group then return told['last-delivered-id'] end
  end
end

local function passed_over(first)
  local place = place_of_group()
  if not place or comes_before(place, first) then return false end
  local pending = redis.call('XPENDING', stream, group)
  return pending[1] == 0 or comes_before(first, pending[2])
end

local later = holds(due, 'zset') and redis.call('ZCARD', due) or 0
if not holds(stream, 'stream') then return {0, later, -1, 0} end
local entry = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
if not entry then return {0, later, -1, 0} end
local first = entry[1]
local ms = string.match(first, '^(%d+)')
local set_back = 0
if passed_over(first) then
  -- No entry is before the first, so any id before it will do.
  redis.call('XGROUP', 'SETID', stream, group, '0-0')
  set_back = 1
end
return {redis.call('XLEN', stream), later, tonumber(ms), set_back}
