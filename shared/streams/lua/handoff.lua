-- Hand off: for each item, add its outputs and finish its entry, wholly or not at all.
-- KEYS  stream, bytes, in flight, history, rate, the output streams; then, item by item, the payloads
--       to drop and, output by output, its new payloads and its carried payloads.
-- ARGV  group, consumer, all numbers as one list in JSON, the first and the last id in the order
--       of the stream; then, item by item, id, in flight and, output by output, message, in flight.
-- The numbers: 1 if all this may be written also while Redis is full, else 0; of output streams, for
--       each its marks (entries, bytes); of items, for each its
--       deliveries, weight, number of payloads to drop, number of outputs; for each output: index of
--       its stream, weight, numbers of new and of carried payloads, the sizes of the new ones.
-- Returns one number an item: 1 done, 0 no longer ours, -1 full, -2 a new payload is missing or of
--       another size, -3 a key holds something else than it should, -5 a stream takes no more ids.
local stream, bytes_key, in_flight, history, rate = key(), key(), key(), key(), key()
local group, consumer = arg(), arg()
local next_number = in_turn(cjson.decode(arg()))
local first, last = arg(), arg()

local sound = holds(bytes_key, 'hash') and holds(in_flight, 'set') and holds(history, 'hash')
  and holds(rate, 'hash')

if next_number() == 1 and sound then write_also_when_full(bytes_key) end

local marks = {}
for i = 1, next_number() do
  local output_stream, entries, bytes = key(), next_number(), next_number()
  marks[i] = new_mark(output_stream, entries, bytes, bytes_key)
end

-- One table for the item at hand and one for each of its outputs, filled anew for the next item,
-- which spares Lua making, and collecting, half a dozen for every item.
local item = {outputs = {}}
local function read_item()
  item.id, item.in_flight = arg(), arg()
  item.deliveries, item.weight = next_number(), next_number()
  item.drop, item.count = keys(next_number()), next_number()
  for i = 1, item.count do
    local output = item.outputs[i] or {}
    item.outputs[i] = output
    output.message, output.in_flight = arg(), arg()
    output.mark, output.weight = marks[next_number()], next_number()
    output.fresh, output.carried = keys(next_number()), keys(next_number())
    output.sizes = several(next_number, #output.fresh)
  end
end

-- The fence for many items at once: what is pending for this consumer from the first to the last.
-- An item that is not among that is asked for alone.
local pending = {}
local function look_up(count, first, last)
  local answer = redis.pcall('XPENDING', stream, group, first, last, 2 * count + 16, consumer)
  if answer.err then return end
  for _, entry in ipairs(answer) do pending[entry[1]] = entry[4] end
end

local function held()
  if pending[item.id] then return pending[item.id] == item.deliveries end
  return owned(stream, group, consumer, item.id, item.deliveries)
end

local function judge()
  if not sound then return -3 end
  if not held() then return 0 end
  for i = 1, item.count do
    local output = item.outputs[i]
    local mark = output.mark
    if mark.problem ~= 0 then return mark.problem end
    -- An entry that goes round its own stream takes the place that it frees.
    if mark.key ~= stream and is_full(mark) then return -1 end
    for k, payload in ipairs(output.fresh) do
      if not is_of_size(payload, output.sizes[k]) then return -2 end
    end
  end
  return 1
end

local function drop(payloads)
  for _, payload in ipairs(payloads) do redis.call('UNLINK', payload) end
end

-- Add one output, unless the same image is under way already: one of them is enough. False where its
-- stream takes no more ids. Nothing is deleted here, since that cannot be undone.
local function add_output(output, goes_on)
  output.id, output.took_off = nil, false
  local is_named = output.in_flight ~= '' and not goes_on
  output.is_one_more = is_named and redis.call('SADD', in_flight, output.in_flight) == 0
  if output.is_one_more then return true end
  output.took_off = is_named
  output.id = add(output.mark, output.message, output.weight)
  return output.mark.problem == 0
end

local function undo_outputs()
  for i = 1, item.begun do
    local output = item.outputs[i]
    if output.id then undo(output.mark, output.id, output.weight) end
    if output.took_off then redis.call('SREM', in_flight, output.in_flight) end
  end
end

local ended, freed = {}, 0
-- The answer: 1, or why its outputs must be undone.
local function perform()
  local carried_on = false
  item.begun = 0
  for i = 1, item.count do
    item.begun = i
    local output = item.outputs[i]
    local goes_on = output.in_flight == item.in_flight
    carried_on = carried_on or (goes_on and output.in_flight ~= '')
    if not add_output(output, goes_on) then return output.mark.problem end
  end
  for i = 1, item.count do
    local output = item.outputs[i]
    if output.id then
      for _, payload in ipairs(output.fresh) do redis.call('PERSIST', payload) end
    elseif output.is_one_more then
      drop(output.fresh)
      drop(output.carried)
    end
  end
  drop(item.drop)
  if item.in_flight ~= '' and not carried_on then redis.call('SREM', in_flight, item.in_flight) end
  pending[item.id] = 0  -- an entry that comes twice in one call is handed off once
  ended[#ended + 1] = item.id
  freed = freed + item.weight
  return 1
end

local answers, problem = {}, nil
local items = next_number()
if items > 1 then look_up(items, first, last) end
for i = 1, items do
  read_item()
  answers[i] = judge()
  if answers[i] == 1 then
    local done, answer = pcall(perform)
    if answer ~= 1 then undo_outputs() end
    if not done or type(answer) == 'table' then
      problem = told_of(answer)
      break
    end
    answers[i] = answer
  end
end
for _, mark in ipairs(marks) do count_added(mark, bytes_key) end
-- Acknowledged together, and also where one of them failed: what was added must be finished.
finish(stream, group, ended, freed, bytes_key, history)
count_finished(rate, stream, #ended)
if problem then return redis.error_reply(problem) end
return answers
