-- Delete what stands in the place of our own bookkeeping and is of another type: nothing of ours is in it,
-- and it is made anew by whoever writes next.
-- KEYS  any.   ARGV  of each the type that it should have.   Returns which were deleted, counted from 1.
local deleted = {}
for i = 1, #KEYS do
  if not holds(KEYS[i], ARGV[i]) then
    redis.call('UNLINK', KEYS[i])
    deleted[#deleted + 1] = i
  end
end
return deleted
