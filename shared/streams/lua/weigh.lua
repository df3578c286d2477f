-- Count anew what dead letters weigh: a person may have trimmed their stream, which no counter sees.
-- KEYS  bytes, dead, shed.   ARGV  bytes that each entry counts for beside its texts.
-- Returns the bytes.
local bytes_key, dead, shed = key(), key(), key()
local overhead = number()

local function weighed(from, to, has_bytes)
  local sum = 0
  while true do
    local some = after(dead, from, to, 100)
    for _, entry in ipairs(some) do
      local fields = {}
      for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
      local weight = #(fields.n or '') < 16 and tonumber(string.match(fields.n or '', '^%d+$')) or 0
      if not has_bytes then
        local texts = #(fields.m or '') + #(fields.history or '[]') + #(fields.reason or '')
        weight = math.min(weight, overhead + texts)
      end
      sum = sum + weight
    end
    if #some < 100 then return sum end
    from = some[#some][1]
  end
end

local last = last_shed(shed)
local sum = weighed('0-0', last, false) + weighed(last, '+', true)
write_also_when_full(bytes_key)
redis.call('HSET', bytes_key, dead, sum)
return sum
