-- Put in front of every script. KEYS and ARGV are read in order, each value once.
local function in_turn(list)
  local at = 0
  return function()
    at = at + 1
    return list[at]
  end
end

local key, arg = in_turn(KEYS), in_turn(ARGV)

local function number()
  return tonumber(arg())
end

local none = {}
local function keys(count)
  if count == 0 then return none end
  local list = {}
  for i = 1, count do list[i] = key() end
  return list
end

-- The fence: is this entry still pending for this very delivery? Names of consumers are random
-- for each process start, and the delivery count tells an old delivery from a newer one.
local function owned(stream, group, consumer, id, deliveries)
  local pending = redis.pcall('XPENDING', stream, group, id, id, 1)
  if pending.err then return false end
  local entry = pending[1]
  return entry and entry[2] == consumer and entry[4] == deliveries
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Let this script write also while Redis is full. There a script's first write is refused if it may
-- cost memory, and what follows a write that was let through is not; this one costs nothing. For
-- scripts that free about as much as they add, or add no more than what is held bounds.
local function write_also_when_full(bytes_key)
  redis.call('HDEL', bytes_key, '')
end

-- A stream to add to, and how far it may fill: {key, entries, bytes}. An empty stream always takes
-- one, and an empty stream holds no bytes, whatever a lost or edited counter says. A stream that
-- only wakes its reader has -1 entries for a mark: it is never full, and takes a wake-up only
-- while no other waits to be read.
local function new_mark(key, entries, bytes, bytes_key)
  local mark = {key = key, entries = entries, bytes = bytes, problem = 0, added = 0}
  mark.wakes = entries < 0
  local kind = redis.call('TYPE', mark.key).ok
  if kind == 'none' then
    mark.length, mark.held = 0, 0
  elseif kind == 'stream' then
    mark.length = redis.call('XLEN', mark.key)
    mark.held = 0
    if mark.length > 0 then mark.held = tonumber(redis.call('HGET', bytes_key, mark.key) or '0') end
  else
    mark.problem = -3
  end
  mark.was_empty = mark.length == 0
  return mark
end

local function read_mark(bytes_key)
  local stream, entries, bytes = key(), number(), number()
  return new_mark(stream, entries, bytes, bytes_key)
end

local function is_full(mark)
  if mark.length == 0 or mark.wakes then return false end
  return mark.length >= mark.entries or mark.held >= mark.bytes
end

-- Whether an entry waits that no consumer has been given yet.
local function has_unread(mark)
  if mark.length == 0 then return false end
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', mark.key)) do
    for i = 1, #flat, 2 do
      if flat[i] == 'last-delivered-id' then
        -- Newer entries may be finished and gone, so the newest that is left says nothing.
        local after = '(' .. flat[i + 1]
        return #redis.call('XRANGE', mark.key, after, '+', 'COUNT', 1) > 0
      end
    end
  end
  return true
end

-- Every script that adds calls `count_added` once for each stream, after its last addition.
-- `attempts`, where it is given, is how many failed before.
local function add(mark, message, weight, attempts)
  if mark.wakes and has_unread(mark) then return end
  local id
  if attempts and attempts > 0 then
    id = redis.call('XADD', mark.key, '*', 'm', message, 'n', weight, 'a', attempts)
  else
    id = redis.call('XADD', mark.key, '*', 'm', message, 'n', weight)
  end
  mark.length = mark.length + 1
  mark.held = mark.held + weight
  mark.added = mark.added + weight
  return id
end

local function count_added(mark, bytes_key)
  if mark.added == 0 then return end
  if mark.was_empty then
    redis.call('HSET', bytes_key, mark.key, mark.added)
  else
    redis.call('HINCRBY', bytes_key, mark.key, mark.added)
  end
end

-- Acknowledge and delete entries of this weight. XADD comes before this in every script: an
-- acknowledgement first would lose the entry where the addition is refused, since nothing is
-- rolled back.
local function finish(stream, group, ids, weight, bytes_key, history)
  if #ids == 0 then return end
  redis.call('XACK', stream, group, unpack(ids))
  redis.call('XDEL', stream, unpack(ids))
  redis.call('HINCRBY', bytes_key, stream, -weight)
  redis.call('HDEL', history, unpack(ids))
end

-- Finished entries in slots of 5 seconds, 16 of them in a ring, for the rate of the last minute.
local function count_finished(rate, stream, count)
  if count == 0 then return end
  local slot = math.floor(tonumber(redis.call('TIME')[1]) / 5)
  local field = stream .. '#' .. (slot % 16)
  local seen, before = string.match(redis.call('HGET', rate, field) or '', '^(%d+) (%d+)$')
  if tonumber(seen) == slot then count = count + tonumber(before) end
  redis.call('HSET', rate, field, string.format('%d %d', slot, count))
end

-- Whether a dead letter that is there still counts with its bytes. The oldest lose them first, so
-- the hash `shed` needs to name the last of these only.
local function has_bytes(dead, shed, id)
  local after = '(' .. (redis.call('HGET', shed, 'last') or '0-0')
  return #redis.call('XRANGE', dead, after, id, 'COUNT', 1) > 0
end

-- Delete a dead letter that is there, which counts for one weight with its bytes, and for another
-- without them.
local function delete_letter(dead, shed, bytes_key, id, whole, without_bytes)
  local weight = has_bytes(dead, shed, id) and whole or without_bytes
  redis.call('XDEL', dead, id)
  if redis.call('XLEN', dead) > 0 then
    redis.call('HINCRBY', bytes_key, dead, -weight)
  else
    redis.call('HDEL', bytes_key, dead)
    redis.call('UNLINK', shed)
  end
end
