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
local function several(next_one, count)
  if count == 0 then return none end
  local list = {}
  for i = 1, count do list[i] = next_one() end
  return list
end

local function keys(count)
  return several(key, count)
end

-- The fence: is this entry still pending for this very delivery? Names of consumers are random
-- for each process start, and the delivery count tells an old delivery from a newer one.
local function owned(stream, group, consumer, id, deliveries)
  local pending = redis.pcall('XPENDING', stream, group, id, id, 1)
  if pending.err then return false end
  local entry = pending[1]
  return entry and entry[2] == consumer and entry[4] == deliveries
end

-- Whether a key holds what it should, or nothing yet. Scripts ask before they write: nothing is rolled
-- back, and what is refused half way would be done twice.
local function holds(key, kind)
  local found = redis.call('TYPE', key).ok
  return found == kind or found == 'none'
end

-- Whether a payload is there and has the size that its message claims. (Of a claim of nothing the key
-- may be missing: there is nothing to lose.)
local function is_of_size(payload, size)
  return redis.pcall('STRLEN', payload) == size
end

-- A counter in a hash as a number; 0 where it is none of ours.
local function counted(hash, field)
  if redis.call('HSTRLEN', hash, field) > 16 then return 0 end
  local text = redis.call('HGET', hash, field) or ''
  return string.match(text, '^%d+$') and tonumber(text) or 0
end

-- A history of ours is never as long: 20 attempts of 1,000 characters.
local HISTORY_BYTES = 524288

-- Of an entry's fields those that we write, none longer than it may be; of a message one byte more, so
-- that it is refused for its length.
local LONGEST = {m = 1048577, n = 15, a = 3, stream = 200, reason = 65536, code = 100}
LONGEST.history = HISTORY_BYTES
local function kept_of(fields)
  local values, kept, bytes = {}, {}, 0
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    local longest = LONGEST[name]
    if longest and (#value <= longest or name == 'm') then values[name] = string.sub(value, 1, longest) end
  end
  for name, value in pairs(values) do
    kept[#kept + 1] = name
    kept[#kept + 1] = value
    bytes = bytes + #value
  end
  return kept, bytes
end

-- Add to a counter, which then is never below 0, and is begun anew where somebody else wrote it.
local function count(hash, field, change)
  local sum = redis.pcall('HINCRBY', hash, field, change)
  if type(sum) == 'number' and sum >= 0 then return sum end
  sum = math.max(0, change)
  redis.call('HSET', hash, field, string.format('%.0f', sum))
  return sum
end

-- The failed attempts of an entry, none where that is no list of ours.
local function attempts_in(text)
  if not text or #text > HISTORY_BYTES then return {} end
  local read, attempts = pcall(cjson.decode, text)
  if not read or type(attempts) ~= 'table' or (next(attempts) and not attempts[1]) then return {} end
  if not pcall(cjson.encode, attempts) then return {} end
  return attempts
end

local function history_of(history, id)
  if redis.call('HSTRLEN', history, id) > HISTORY_BYTES then return nil end
  return redis.call('HGET', history, id) or nil
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Let this script write also while Redis is full. There a script's first write is refused if it may
-- cost memory, and what follows a write that was let through is not; this one costs nothing. For
-- scripts that free about as much as they add, or add no more than what is held bounds.
local function write_also_when_full(bytes_key)
  redis.pcall('HDEL', bytes_key, '')
end

-- A stream to add to, and how far it may fill: {key, entries, bytes}. An empty stream always takes
-- one, and an empty stream holds no bytes, whatever a lost or edited counter says. A stream that
-- only wakes its reader has -1 entries for a mark: it is never full, and takes a wake-up only
-- while no other waits to be read.
local function new_mark(key, entries, bytes, bytes_key)
  local mark = {key = key, entries = entries, bytes = bytes, problem = 0, added = 0}
  mark.wakes = entries < 0
  mark.length, mark.held = 0, 0
  if holds(mark.key, 'stream') and holds(bytes_key, 'hash') then
    mark.length = redis.call('XLEN', mark.key)
    if mark.length > 0 then mark.held = counted(bytes_key, mark.key) end
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

-- Entries after this id, which may be the last that there is.
local function after(stream, id, to, many)
  local found = redis.pcall('XRANGE', stream, '(' .. id, to, 'COUNT', many)
  return found.err and {} or found
end

-- Whether an entry waits that no consumer has been given yet.
local function has_unread(mark)
  if mark.length == 0 then return false end
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', mark.key)) do
    for i = 1, #flat, 2 do
      if flat[i] == 'last-delivered-id' then
        -- Newer entries may be finished and gone, so the newest that is left says nothing.
        return #after(mark.key, flat[i + 1], '+', 1) > 0
      end
    end
  end
  return true
end

-- What servers from 7.0 on say of it, and what 6.2 does.
local function says_exhausted(text)
  return string.find(text, 'exhausted', 1, true) or string.find(text, 'equal or smaller', 1, true)
end

-- What the server said, which a script's error may have its place in front of.
local function told_of(error)
  local text = type(error) == 'table' and error.err or error
  return string.match(text, '%u%u+ .*$') or text
end

-- XADD with an id of the server's own. Where it is refused, the mark's problem says why, and what the
-- same script has done before must be undone: nothing is rolled back. -5: somebody has added at the
-- last id that there is, and no more can follow; else it is the server's own error, such as `NOPERM`.
local function add_fields(mark, ...)
  local id = redis.pcall('XADD', mark.key, '*', ...)
  if type(id) ~= 'table' then return id end
  mark.problem = says_exhausted(id.err) and -5 or redis.error_reply(told_of(id))
end

-- Every script that adds calls `count_added` once for each stream, after its last addition.
-- `attempts`, where it is given, is how many failed before. Returns the id, nil where nothing was
-- added.
local function add(mark, message, weight, attempts)
  if mark.wakes and has_unread(mark) then return end
  local id
  if attempts and attempts > 0 then
    id = add_fields(mark, 'm', message, 'n', weight, 'a', attempts)
  else
    id = add_fields(mark, 'm', message, 'n', weight)
  end
  if not id then return end
  mark.length = mark.length + 1
  mark.held = mark.held + weight
  mark.added = mark.added + weight
  return id
end

-- Take back what this script has added.
local function undo(mark, id, weight)
  redis.call('XDEL', mark.key, id)
  mark.length = mark.length - 1
  mark.held = mark.held - weight
  mark.added = mark.added - weight
end

local function count_added(mark, bytes_key)
  if mark.added == 0 then return end
  if mark.was_empty then
    redis.call('HSET', bytes_key, mark.key, mark.added)
  else
    count(bytes_key, mark.key, mark.added)
  end
end

-- Acknowledge and delete entries of this weight. XADD comes before this in every script: an
-- acknowledgement first would lose the entry where the addition is refused, since nothing is
-- rolled back.
local function finish(stream, group, ids, weight, bytes_key, history)
  if #ids == 0 then return end
  redis.call('XACK', stream, group, unpack(ids))
  redis.call('XDEL', stream, unpack(ids))
  count(bytes_key, stream, -weight)
  redis.call('HDEL', history, unpack(ids))
end

-- Finished entries in slots of 5 seconds, 16 of them in a ring, for the rate of the last minute.
local function count_finished(rate, stream, finished)
  if finished == 0 then return end
  local slot = math.floor(tonumber(redis.call('TIME')[1]) / 5)
  local field = stream .. '#' .. (slot % 16)
  local told = redis.call('HSTRLEN', rate, field) <= 25 and redis.call('HGET', rate, field) or ''
  local seen, before = string.match(told, '^(%d+) (%d+)$')
  if tonumber(seen) == slot then finished = finished + tonumber(before) end
  redis.call('HSET', rate, field, string.format('%.0f %.0f', slot, finished))
end

-- The id up to which dead letters have lost their bytes.
local function last_shed(shed)
  local last = redis.call('HSTRLEN', shed, 'last') <= 41 and redis.call('HGET', shed, 'last') or ''
  return string.match(last, '^%d+%-%d+$') or '0-0'
end

-- Whether a dead letter that is there still counts with its bytes. The oldest lose them first, so
-- the hash `shed` needs to name the last of these only.
local function has_bytes(dead, shed, id)
  return #after(dead, last_shed(shed), id, 1) > 0
end

-- Delete a dead letter that is there, which counts for one weight with its bytes, and for another
-- without them.
local function delete_letter(dead, shed, bytes_key, id, whole, without_bytes)
  local weight = has_bytes(dead, shed, id) and whole or without_bytes
  redis.call('XDEL', dead, id)
  if redis.call('XLEN', dead) > 0 then
    count(bytes_key, dead, -weight)
  else
    redis.call('HDEL', bytes_key, dead)
    redis.call('UNLINK', shed)
  end
end
