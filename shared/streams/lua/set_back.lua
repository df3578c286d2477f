-- Where entries of a stream have ids far ahead of the clock, give all of its entries ids of now, in their
-- order: past the last id that there is nothing could be added. They leave the stream at once, and come
-- back a part at a time. Whoever is at work on one loses it, and whoever gets it next does it again.
-- KEYS  the stream, bytes, history, what is put aside of it, shed.
-- ARGV  group ('' for none), ms that an id may be ahead, 1 to try whether anything can be added or 0 to
--       look at the ids alone, count that comes back.
-- Returns 1 if the stream was put aside, how many entries came back, and how many are to follow.
local stream, bytes_key, history, aside, shed = key(), key(), key(), key(), key()
local group, ahead, tries, at_once = arg(), number(), number() == 1, number()

if not (holds(stream, 'stream') and holds(bytes_key, 'hash') and holds(history, 'hash')
    and holds(aside, 'list')) then
  return {0, 0, 0}
end

local function is_ahead()
  local limit = string.format('%.0f', now_ms() + ahead)
  if #redis.call('XREVRANGE', stream, '+', limit, 'COUNT', 1) > 0 then return true end
  if not tries then return false end
  local id = redis.pcall('XADD', stream, 'NOMKSTREAM', '*', 'm', '')
  if type(id) == 'table' then return says_exhausted(id.err or '') end
  if id then redis.call('XDEL', stream, id) end
  return false
end

local function put_aside()
  local from = '0-0'
  while true do
    local some = after(stream, from, '+', 100)
    for _, entry in ipairs(some) do
      local record = {fields = kept_of(entry[2]), history = history_of(history, entry[1])}
      redis.call('RPUSH', aside, cmsgpack.pack(record))
      from = entry[1]
    end
    if #some < 100 then break end
  end
  redis.call('UNLINK', stream, history)
  redis.call('HDEL', bytes_key, stream)
  if group == '' then redis.pcall('HDEL', shed, 'last') end
end

local function come_back(packed)
  local read, record = pcall(cmsgpack.unpack, packed)
  if not read or type(record) ~= 'table' or type(record.fields) ~= 'table' then return end
  local fields, weight = {}, 0
  for i = 1, #record.fields - 1, 2 do
    local name, value = record.fields[i], record.fields[i + 1]
    if type(value) ~= 'string' then value = '' end
    if name == 'n' then
      value = string.match(value, '^%d+$') or '0'
      weight = tonumber(value)
    end
    if LONGEST[name] then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
  if #fields == 0 then fields = {'m', ''} end
  local id = redis.call('XADD', stream, '*', unpack(fields))
  count(bytes_key, stream, weight)
  if type(record.history) == 'string' then redis.call('HSET', history, id, record.history) end
end

write_also_when_full(bytes_key)
local was_ahead, back = is_ahead(), 0
if was_ahead then
  put_aside()
  if group ~= '' then redis.call('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM') end
end
for _ = 1, at_once do
  local packed = redis.call('LINDEX', aside, 0)
  if not packed then break end
  come_back(packed)
  redis.call('LPOP', aside)
  back = back + 1
end
return {was_ahead and 1 or 0, back, redis.call('LLEN', aside)}
